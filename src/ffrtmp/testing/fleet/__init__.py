"""Thousands of simulated agents on one real master: the real protocol core over real sockets, with work that is only pretended."""

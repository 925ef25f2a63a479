"""Tries whether each deliberate fault of `testing.mutants` is found by what is said to find it."""

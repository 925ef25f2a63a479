"""A farm in one process under a simulated clock and network: masters, agents, users and faults, from one seed.

Real: the store's transactions (SQLite in memory), planning, scheduling, the master's handlers, long-polls and sweeps, the agent's
session core. Simulated: time, the network, the machines, the media tools and the file system. A seed decides everything, so a run
that goes wrong can be run again.
"""

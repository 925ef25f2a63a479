"""Real masters, agents, databases and networks under faults for as long as it takes, watched from outside.

`python -m ffrtmp.testing.campaign` runs it; `invariants` says what must hold at the end, from a history that the
farm cannot change.
"""

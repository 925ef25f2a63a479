"""kill -9 at a named point of each transition: before the request is sent, before the commit, after the commit and before its
answer; of an agent, the master, the database. `python -m ffrtmp.testing.kills` runs all of it on one farm of real processes."""

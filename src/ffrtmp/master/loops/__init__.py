"""Background sweeps. Any master runs them at any time: each is one guarded statement, no leader."""

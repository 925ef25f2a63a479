"""The typed client of the master's API. `client` is the async face, `sync` a thin portal to it for scripts."""

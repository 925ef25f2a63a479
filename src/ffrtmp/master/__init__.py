"""The master: HTTP API, scheduler, store. `app.run` starts it."""

"""Decisions of the queue, pure: `(state, now) → decisions`. Nothing here knows a database."""

"""The worker program: leases tasks, runs them, verifies and publishes what they made. `session` decides, `app` does."""

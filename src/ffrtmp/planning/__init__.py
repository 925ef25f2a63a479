"""From what a user wrote to what will be run, pure: scenario + parameters → Spec → task graph."""

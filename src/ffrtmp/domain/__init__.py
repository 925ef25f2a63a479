"""The words of the system and their rules. Nothing here does I/O."""

"""From a spec to command lines, and from what came out to a verdict. Nothing here starts a process."""

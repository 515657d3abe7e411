"""One file for each command: read, decide, act."""

"""One run of a verb: connect, lock, look, execute, record."""

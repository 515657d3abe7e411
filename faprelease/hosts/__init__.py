"""The state of a host, and whether it meets the requirements of a release: pure functions."""

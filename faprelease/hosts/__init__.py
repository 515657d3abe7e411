"""What a host said about itself, and whether it can take a release: pure functions."""

"""A store with its three parts: artifacts, stages and records."""

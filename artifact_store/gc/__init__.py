"""Remove unused versions from a store."""

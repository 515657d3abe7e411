"""Artifacts: their names, their manifest, their file, and the difference between two."""

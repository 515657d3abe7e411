"""What an artifact is: its names, its manifest, its file, and what changed between two."""

"""The project to pack: its settings, its files in git, its version, and the platform it is for."""

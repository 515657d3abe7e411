"""The project that is packed: its settings, its files in git, its version, the platform it is for."""

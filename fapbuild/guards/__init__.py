"""Checks for what must not be packed: secrets, and files that are too large or have reserved names."""

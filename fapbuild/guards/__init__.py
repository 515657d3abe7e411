"""What must not be packed: secrets, and files that are too large or out of place."""

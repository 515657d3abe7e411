"""What is written into a store: its keys and the form of each object."""

"""The objects in a store: their keys and formats."""

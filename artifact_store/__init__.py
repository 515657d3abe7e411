"""Immutable artifacts and the stage logs that promote them."""

"""The events of a run, and the outputs that show them."""

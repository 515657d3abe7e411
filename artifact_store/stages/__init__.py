"""The log of a stage, and the rules for changing it."""

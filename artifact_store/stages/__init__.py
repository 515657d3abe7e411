"""The log of a stage: the rules of its entries (pure), and how it is read."""

"""What may be removed from a store, and what must stay."""

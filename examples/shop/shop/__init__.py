"""A small shop: a real application to pack, store, release and roll back."""

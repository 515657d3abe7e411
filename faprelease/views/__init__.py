"""Reports about hosts for people: pure functions."""

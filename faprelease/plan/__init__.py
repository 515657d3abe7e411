"""From hosts and a wish to a plan: pure functions."""

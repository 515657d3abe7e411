"""What happens during a run, as events, and the outputs they go to."""

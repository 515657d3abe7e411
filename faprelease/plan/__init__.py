"""From the state of hosts and a request to a plan: pure functions."""

"""What people are told about hosts: pure functions."""

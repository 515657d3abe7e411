"""From deploy.yml to one frozen target for each host."""

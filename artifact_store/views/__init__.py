"""What people are shown of a store: pages, differences, audits."""

"""The app's rules, and signatures of versions, approvals and log entries."""

"""Words that every part shares: errors, findings, text for people, URLs without secrets, who does it."""

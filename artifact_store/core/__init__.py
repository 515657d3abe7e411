"""What every part shares: errors, hints, findings, text formatting, URLs without secrets, and actors."""

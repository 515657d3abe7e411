"""Steps, phases and plans as values; their text on the wire; the folders on a host; redaction."""

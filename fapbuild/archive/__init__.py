"""The bytes of an artifact: where gzip members begin and end, and how they are written."""

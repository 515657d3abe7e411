"""The bytes of an artifact: where gzip members are cut, and how they are written."""

"""Bytes under keys: one protocol, with a folder, S3, a web server or memory as the storage."""

"""Bytes under keys: one protocol, a folder, S3, a web server or memory behind it."""

"""Plugins: their `hooks`, the `registry` that loads them, and the built-in ones, including curl."""

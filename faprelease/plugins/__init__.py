"""Plugins: their `hooks`, the `registry` that finds them, and those that come with faprelease, curl too."""

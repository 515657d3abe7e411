"""Times in the output of a command."""

import re

_TIME = re.compile(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC")


def timeless(text: str) -> str:
    """The text with `TIME` for each time in UTC."""
    return _TIME.sub("TIME", text)

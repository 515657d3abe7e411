"""Durations as people write them: `30m`, `1h`, `7d`."""

import re
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse(text: str) -> timedelta:
    """A duration of whole seconds, minutes, hours or days. Raises ValueError for any other text."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not match:
        raise ValueError(f"{text!r} is not a duration: write 30m, 1h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})

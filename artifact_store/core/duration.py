"""Durations and points in time as people write them: `30m`, `1h`, `7d`."""

import re
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse(text: str) -> timedelta:
    """A duration of whole seconds, minutes, hours or days. Raises ValueError for any other text."""
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if not match:
        raise ValueError(f"{text!r} is not a duration: write 30m, 1h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


TIMES = "2026-11-30, '2026-11-30 18:20' (UTC), or 7d (ago)."


def moment(text: str, now: datetime) -> datetime:
    """A point in time: ISO 8601, in UTC if it names no zone, or a duration before now. Raises ValueError for
    any other text."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        return now - parse(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time; give {TIMES}") from error

"""Sizes, times and findings as words for people."""

from datetime import datetime

from artifact_store.core.finding import Finding


def count(number: int, one: str, many: str) -> str:
    """`1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many}"


def finding(found: Finding) -> str:
    """What was found, and behind an arrow what to do about it."""
    fix = f" -> {found.fix}" if found.fix else ""
    return f"{found.verdict:<5}  {found.check}: {found.says}{fix}"


def size(count: int) -> str:
    """A number of bytes, as 12.3 MB or 4.5 kB."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def printable(line: str) -> str:
    """The line without what moves a terminal's cursor or hides itself: names come from others."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def ago(at: datetime, now: datetime) -> str:
    """How long before `now`, in the largest unit that fits."""
    seconds = (now - at).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if count := int(seconds // length):
            return f"{count} {unit}{'s' * (count > 1)} ago" if count > 0 else "just now"
    return "just now"

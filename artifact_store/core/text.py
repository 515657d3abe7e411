"""Format sizes, times, counts and findings for people."""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from artifact_store.core.finding import Finding


def count(number: int, one: str, many: str) -> str:
    """A number with its noun: `1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many}"


def finding(result: "Finding") -> str:
    """One line for a finding; its fix follows an arrow."""
    fix = f" -> {result.fix}" if result.fix else ""
    return f"{result.verdict:<5}  {result.check}: {result.says}{fix}"


def size(count: int) -> str:
    """A number of bytes as `12.3 MB` or `4.5 kB`."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def printable(line: str) -> str:
    """The line with every control and invisible character replaced: text of others may contain some."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def plain(text: str) -> str:
    """The text with the same done to each of its lines; a tab becomes spaces."""
    return "\n".join(printable(line.expandtabs()) for line in text.replace("\r\n", "\n").split("\n"))


def ago(at: datetime, now: datetime) -> str:
    """The time from `at` to `now` in the largest unit that fits, as `3 days ago`."""
    seconds = (now - at).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if number := int(seconds // length):
            return f"{number} {unit}{'s' * (number > 1)} ago" if number > 0 else "just now"
    return "just now"

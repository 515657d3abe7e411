"""A schedule of a role: a command, and when it runs. Pure."""

import re
from collections.abc import Iterator

import msgspec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", re.ASCII)
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", re.ASCII)


class Schedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `schedules`."""

    command: str
    """A command of sh, in one line; it runs in the release, with its environment."""
    at: str
    """When it runs: the five fields of cron, or a word such as `@daily`."""


def problems(name: str, planned: Schedule) -> Iterator[tuple[str, str]]:
    """Yield the problems of a schedule, each as message and hint."""
    from faprelease.config import cron  # only a role that has schedules needs it

    if not _NAME.fullmatch(name):
        yield f"{name!r} is not a valid name", "use up to 40 letters, digits, _ and -; start with no _ or -"
    if not planned.command.strip() or not planned.command.isprintable():
        yield (
            f"{name}: command is empty or not one line",
            "put a longer script into the app",
        )
    try:
        cron.fields(planned.at)
    except cron.CronError as error:
        yield f"{name}: at: {error}", error.hint


def zone_problems(zone: str) -> Iterator[tuple[str, str]]:
    """Yield the problem of a time zone, as message and hint."""
    if zone == "UTC":
        return
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        if not _ZONE.fullmatch(zone):
            raise ZoneInfoNotFoundError
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"{zone!r} is not a time zone", "for example: UTC, or Europe/Berlin"

"""Times in the syntax of Debian's cron (crontab(5)), and as calendar events of systemd. Pure."""

import re
from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

WORDS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_VALUE = r"(?:\d{1,2}|[A-Za-z]{3})"
_ITEM = rf"(?:\*(?:/\d{{1,2}})?|{_VALUE}(?:-{_VALUE}(?:/\d{{1,2}})?)?)"
_FIELD = re.compile(rf"{_ITEM}(?:,{_ITEM})*", re.ASCII)
_ANY_TIME = datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


class CronError(ValueError):
    """A time that cron or systemd can't express; `hint` says what to write instead."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def fields(at: str) -> str:
    """Return a time as the five fields of cron, separated by single spaces. Raises CronError for anything
    that Debian's cron, or systemd, does not understand in the same way."""
    if at.startswith("@"):
        if at.lower() not in WORDS:
            words = ", ".join(WORDS)
            raise CronError(
                f"{at!r} is not a time", f"write five fields, as in crontab(5), or one of {words}"
            )
        return WORDS[at.lower()]
    parts = at.split()
    if len(parts) != 5 or not all(map(_FIELD.fullmatch, parts)):
        raise CronError(
            f"{at!r} is not a time in cron's syntax",
            'write minute, hour, day of month, month and day of week: at: "0 3 * * *"; each is *, a number,'
            " a-b, */n or a-b/n, or several of them with commas",
        )
    text = " ".join(parts).lower()
    try:
        times = _parsed(text)
    except CronSimError as error:
        # "Bad minute"; a day that no such month has is a bad day of month.
        raise CronError(f"{at!r} is not a time: {str(error).lower()}", "see crontab(5)") from None
    if times.day_and and not _is_whole(times.days, 31) and not _is_whole(_weekdays(times), 7):
        raise CronError(
            f"{at!r}: the day of month and the day of week are both restricted, and one begins with *:"
            " implementations of cron disagree on what that means",
            "write the days as numbers, for example 1,15 for the day of month: then a day that matches either"
            " field counts",
        )
    return text


def calendars(text: str, zone: str) -> tuple[str, ...]:
    """The calendar events (systemd.time(7)) that are the same times as five fields of cron.

    Cron runs on a day that matches the day of month or the day of week if both are restricted, while one
    event of systemd needs both: so there are two events then.
    """
    times = _parsed(text)
    weekdays = _listed(_weekdays(times), range(7), _WEEKDAYS)
    days, months = _listed(times.days, range(1, 32)), _listed(times.months, range(1, 13))
    clock = f"{_listed(times.hours, range(24))}:{_listed(times.minutes, range(60))}:00 {zone}"
    if "*" not in (days, weekdays):
        return f"{weekdays} *-{months}-* {clock}", f"*-{months}-{days} {clock}"
    if not times.day_and:
        # A field such as 1-31 matches every day, so the other one does not matter.
        return (f"*-{months}-* {clock}",)
    return (f"{weekdays} *-{months}-{days} {clock}".removeprefix("* "),)


def next_run(text: str, zone: str, after: datetime) -> datetime:
    """The first time after `after`, which has a time zone."""
    return next(CronSim(text, after.astimezone(ZoneInfo(zone))))


def _parsed(text: str) -> CronSim:
    return CronSim(text, _ANY_TIME)


def _weekdays(times: CronSim) -> set[int]:
    """The days of the week, with Monday as 0."""
    return {(day + 6) % 7 for day in times.weekdays if isinstance(day, int)}


def _is_whole(values: Iterable[int], count: int) -> bool:
    return len(set(values)) == count


def _listed(values: Iterable[int], whole: range, names: tuple[str, ...] = ()) -> str:
    """Numbers as a field of a calendar event: `*` if they are all, otherwise with `..` for three or more in
    a row."""
    if set(values) >= set(whole):
        return "*"
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and runs[-1][-1] == value - 1:
            runs[-1].append(value)
        else:
            runs.append([value])

    def word(value: int) -> str:
        return names[value] if names else f"{value:02}"

    return ",".join(
        f"{word(run[0])}..{word(run[-1])}" if len(run) > 2 else ",".join(map(word, run)) for run in runs
    )

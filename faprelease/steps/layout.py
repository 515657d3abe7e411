"""Where things lie on a host. Pure names; nothing here touches a file."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from posixpath import join

_RELEASE_ID = re.compile(r"(\d\d)(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)|20(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")


def is_release_id(name: str) -> bool:
    """True for a folder name that a release of ours can have (`261122-185409`, as fapistrano's), or one of
    Capistrano's (`20261122185409`), whose folders are taken over; others are left alone."""
    return _time_of(name) is not None


def next_release_id(now: datetime, taken: list[str]) -> str:
    """The id of a release made at `now` (UTC): later than every id in `taken`, whatever the clocks say."""
    times = [time for name in taken if (time := _time_of(name))]
    newest = max(times, default=None)
    if newest is not None and newest >= now.replace(microsecond=0):
        now = newest + timedelta(seconds=1)
    return now.strftime("%y%m%d-%H%M%S")


def _time_of(release_id: str) -> datetime | None:
    match = _RELEASE_ID.fullmatch(release_id)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(digits) for digits in match.groups() if digits)
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:  # digits that are no time, `999999-999999`
        return None


@dataclass(frozen=True)
class Layout:
    """The folders of one app on one host; absolute paths."""

    path: str
    current: str
    releases: str
    shared: str

    @property
    def state(self) -> str:
        """Records, lock and ledger."""
        return join(self.path, ".fap")

    @property
    def records(self) -> str:
        """`<id>.jsonl` is a release's record, `<id>.artifact.json` what was unpacked there."""
        return join(self.state, "releases")

    @property
    def trials(self) -> str:
        """The releases that `once --curl-url` makes, each with a layout of its own."""
        return join(self.path, ".once")

    def trial(self, name: str) -> "Layout":
        """A layout for one release apart from all others, which goes with its folder `path`; only
        `shared/` is the same."""
        path = join(self.trials, name)
        return Layout(path, join(path, "current"), join(path, "releases"), self.shared)

    def release(self, release_id: str) -> str:
        """The folder of one release."""
        return join(self.releases, release_id)

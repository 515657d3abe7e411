"""The paths of an app on a host, and the ids of releases. Pure: nothing here touches a file."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from posixpath import join

_RELEASE_ID = re.compile(r"(\d\d)(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)|20(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)")


def is_release_id(name: str) -> bool:
    """Whether a folder name is the id of a release: of faprelease and fapistrano (`261122-185409`), or of
    Capistrano (`20261122185409`). Other folders are never touched."""
    return _time_of(name) is not None


def next_release_id(now: datetime, taken: list[str]) -> str:
    """Return the id of a release made at `now` (UTC); it is later than every id in `taken`."""
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
    except ValueError:  # not a time, like `999999-999999`
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
        """The folder of records, lock and ledger."""
        return join(self.path, ".fap")

    @property
    def records(self) -> str:
        """The folder of records: `<id>.jsonl` is the state of a release, `<id>.artifact.json` its
        artifact."""
        return join(self.state, "releases")

    @property
    def run(self) -> str:
        """The folder of sockets: one folder for each start of a release, and links to the live sockets."""
        return join(self.path, "run")

    @property
    def trials(self) -> str:
        """The folder of the releases that `once --curl-url` makes, each with its own layout."""
        return join(self.path, ".once")

    def trial(self, name: str) -> "Layout":
        """The layout of a separate release, which is removed with its folder `path`. It shares only
        `shared/`."""
        path = join(self.trials, name)
        return Layout(path, join(path, "current"), join(path, "releases"), self.shared)

    def release(self, release_id: str) -> str:
        """The folder of one release."""
        return join(self.releases, release_id)

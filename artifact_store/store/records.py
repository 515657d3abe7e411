"""What runs of `faprelease` and hosts recorded in a store about themselves."""

from collections.abc import Collection

from artifact_store.blobs.protocol import Blobs, keep
from artifact_store.records import hosts, keys, releases
from artifact_store.records.hosts import HostRecord
from artifact_store.records.releases import ReleaseRecord


class Records:
    """The records of releases and hosts in a store; once written, none is ever changed."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def add_release(self, record: ReleaseRecord) -> None:
        """Record what a run of `faprelease` did with one role of a stage.

        The same record again is no error. Raises ConflictError if its place holds another one.
        """
        keep(self._blobs, releases.key(record), releases.encode(record))

    def releases(
        self, app: str, stage: str, role: str | None = None, entries: Collection[int] | None = None
    ) -> tuple[ReleaseRecord, ...]:
        """What was released to a stage, or to one role of it: by stage entry, and by time within one.

        With `entries`, only what is about these entries of the stage's log; no other record is read.
        """
        wanted = (
            key
            for key in self._blobs.keys(keys.releases(app, stage, role))
            if (entry := keys.released_entry(key)) is not None and (entries is None or entry in entries)
        )
        records = [releases.decode(self._blobs.get(key), key) for key in wanted]
        return tuple(sorted(records, key=lambda record: (record.entry, record.at, record.role)))

    def add_host(self, record: HostRecord) -> None:
        """Record what a host did by itself; as `add_release`."""
        hosts.write(self._blobs, record)

    def host(self, app: str, stage: str, role: str, host: str) -> HostRecord | None:
        """The last record of a host that brings itself to what its stage should run: see `records.hosts`."""
        return hosts.latest(self._blobs, app, stage, role, host)

    def hosts(self, app: str, stage: str, role: str | None = None) -> tuple[HostRecord, ...]:
        """The last record of each such host of a stage, or of one of its roles; by role and host."""
        return hosts.all_latest(self._blobs, app, stage, role)

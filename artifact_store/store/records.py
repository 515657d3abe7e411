"""The records of releases and hosts in a store."""

from collections import defaultdict
from collections.abc import Collection, Iterator

from artifact_store.blobs.protocol import Blobs, keep
from artifact_store.core.errors import VerificationError
from artifact_store.records import hosts, keys, releases
from artifact_store.records.hosts import HostRecord
from artifact_store.records.releases import ReleaseRecord


class Records:
    """The records of releases and hosts. A record is never changed."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def add_release(self, record: ReleaseRecord) -> None:
        """Write the record of a run of `faprelease` for one role of a stage.

        Writing the same record again is allowed. Raises ConflictError if another record has its key.
        """
        keep(self._blobs, releases.key(record), releases.encode(record))

    def releases(
        self,
        app: str,
        stage: str,
        role: str | None = None,
        entries: Collection[int] | None = None,
        *,
        pass_over: bool = False,
    ) -> tuple[ReleaseRecord, ...]:
        """The releases to a stage, or to one of its roles; sorted by entry of the stage's log, then by time.

        With `entries`, reads only the records of these entries. With `pass_over`, leaves out records that
        can't be read; otherwise raises VerificationError for them.
        """
        wanted = [
            key
            for key in self._blobs.keys(keys.releases(app, stage, role))
            if (entry := keys.released_entry(key)) is not None and (entries is None or entry in entries)
        ]
        records = self._read(wanted, pass_over=pass_over)
        return tuple(sorted(records, key=lambda record: (record.entry, record.at, record.role)))

    def last_releases(self, app: str, stage: str, each: int) -> tuple[ReleaseRecord, ...]:
        """The last `each` records of every role of a stage, by the time in their keys; in no order.

        Those that can't be read are left out.
        """
        roles: dict[str, list[str]] = defaultdict(list)
        for key in self._blobs.keys(keys.releases(app, stage)):
            if keys.released_entry(key) is not None:
                roles[key.rpartition("/")[0]].append(key)
        wanted = [key for role in roles.values() for key in sorted(role)[-each:]]
        return tuple(self._read(wanted, pass_over=True))

    def _read(self, wanted: list[str], *, pass_over: bool) -> Iterator[ReleaseRecord]:
        for key, data in zip(wanted, self._blobs.get_each(wanted), strict=True):
            try:
                if data is not None:
                    yield releases.decode(data, key)
            except VerificationError:
                if not pass_over:
                    raise

    def add_host(self, record: HostRecord) -> None:
        """Write the record of a run on a host that updates itself; as `add_release`."""
        hosts.write(self._blobs, record)

    def host(self, app: str, stage: str, role: str, host: str) -> HostRecord | None:
        """The latest record of a host that updates itself; None if it has no records."""
        return hosts.latest(self._blobs, app, stage, role, host)

    def hosts(self, app: str, stage: str, role: str | None = None) -> tuple[HostRecord, ...]:
        """The latest record of each such host of a stage, or of one of its roles; sorted by role and host."""
        return hosts.all_latest(self._blobs, app, stage, role)

"""The versions that stages and releases refer to, which gc keeps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import tee

from artifact_store.artifact.ids import is_stage
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records import keys, releases
from artifact_store.stages import log_rules
from artifact_store.stages.log import StageLog
from artifact_store.stages.log_rules import LogEntry, StageState

IsTrusted = Callable[[LogEntry], bool]
"""Whether an entry has the signature that the app's rules require."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What gc keeps."""

    keep: int = 10
    """The number of recent versions to keep, per stage and per role of its releases."""
    grace: timedelta = timedelta(days=30)
    """Anything younger than this is kept, even if nothing refers to it."""
    lost_entries: bool = False
    """Whether what only missing or unreadable entries of a log name counts as unused."""


def references(
    blobs: Blobs, app: str, retention: Retention, now: datetime, trusts: IsTrusted
) -> frozenset[str]:
    """The versions, and the sha256 of artifacts, that something refers to.

    Of a stage's log, the last entries count, and the last entries that `trusts` accepts. Otherwise someone
    without a signing key could write so many entries that the stage's real version is not among the last.
    Raises VerificationError if an entry can't be read, no later one passed over it knowingly, and
    `lost_entries` is not allowed.
    """
    referred: set[str] = set()
    for stage in filter(is_stage, blobs.folders(keys.stages(app))):
        log = StageLog(blobs, app, stage)
        every, again = tee(log.readable())
        if not _is_retired(log, trusts):
            for entries in (every, filter(trusts, again)):
                referred |= _last_versions((entry.state for entry in entries), retention.keep)
        if log.passed_over and not retention.lost_entries:
            raise VerificationError(
                f"what {app} {stage} refers to can't be seen: {'; '.join(log.passed_over)}",
                hint=Hint(
                    "nothing is removed; go on from the last entry that can be read: "
                    "{fapstore} freeze {app} {stage} --why REASON, then unfreeze\n"
                    "if entries below it are lost for good: {fapstore} gc {app} --lost-entries",
                    app=app,
                    stage=stage,
                ),
            )
        for blob in blobs.listing(keys.all_approvals(app, stage)):
            if now - blob.modified <= retention.grace and (digest := keys.approved_digest(blob.key)):
                referred.add(digest)
    for stage in filter(is_stage, blobs.folders(keys.all_releases(app))):
        for role in filter(is_stage, blobs.folders(keys.releases(app, stage))):
            referred |= _released(blobs, keys.releases(app, stage, role), retention.keep)
    return frozenset(referred - {""})


def _is_retired(log: StageLog, trusts: IsTrusted) -> bool:
    """Whether the last entry retired the stage, as far as signatures are required with a valid one."""
    _, last = log.tip()
    return last is not None and last.state.action == "retire" and log.follows(last) and trusts(last)


def _last_versions(newest_first: Iterator[StageState], keep: int) -> set[str]:
    """The last `keep` versions of a log and the target of a rollback, with their digests."""
    states, again = tee(newest_first)
    target = log_rules.version_before(again)
    versions = {target} if target else set[str]()
    last: dict[str, str] = {}
    for state in states:
        if len(last) == keep and state.version not in last:
            break
        if not state.is_empty:
            last[state.version] = state.digest
    return versions | last.keys() | set(last.values())


def _released(blobs: Blobs, prefix: str, keep: int) -> set[str]:
    """The versions and digests in the last records of a role, at least back to the last healthy one."""
    recorded = sorted(key for key in blobs.keys(prefix) if keys.released_entry(key) is not None)
    digests: set[str] = set()
    names: set[str] = set()
    healthy = False
    for key in reversed(recorded):
        if len(digests) >= keep and healthy:
            break
        release = releases.decode(blobs.get(key), key)
        digests.add(release.digest)
        names |= {release.version, release.digest}
        healthy = healthy or release.outcome == "healthy"
    return names

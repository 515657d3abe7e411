"""What stages and releases refer to: the versions that gc keeps."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import tee

from artifact_store.blobs.protocol import Blobs
from artifact_store.records import keys, releases
from artifact_store.stages import log_rules
from artifact_store.stages.log import StageLog
from artifact_store.stages.log_rules import LogEntry, StageState

IsTrusted = Callable[[LogEntry], bool]
"""Whether an entry is signed as the app demands."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What is kept."""

    keep: int = 10
    """So many versions per stage, and per role of its releases: the last ones."""
    grace: timedelta = timedelta(days=30)
    """What is younger is left alone, referred to or not."""


def references(blobs: Blobs, app: str, rules: Retention, now: datetime, trusts: IsTrusted) -> frozenset[str]:
    """The versions, and the sha256 of artifacts, that something refers to.

    In a stage's log the last entries count, and the last that `trusts` believes: else who may write entries,
    but has no key, could write so many that what the stage really runs is not among the last ones.
    """
    found: set[str] = set()
    for stage in blobs.folders(keys.stages(app)):
        every, again = tee(StageLog(blobs, app, stage).newest_first())
        for log in (every, filter(trusts, again)):
            found |= _kept((entry.state for entry in log), rules.keep)
        for blob in blobs.listing(keys.all_approvals(app, stage)):
            if now - blob.modified <= rules.grace and (digest := keys.approved_digest(blob.key)):
                found.add(digest)
    for stage in blobs.folders(keys.all_releases(app)):
        for role in blobs.folders(keys.releases(app, stage)):
            found |= _released(blobs, keys.releases(app, stage, role), rules.keep)
    return frozenset(found - {""})


def _kept(newest_first: Iterator[StageState], keep: int) -> set[str]:
    """The last `keep` versions of a log, and that which a rollback would go to, with their digests."""
    states, again = tee(newest_first)
    before = log_rules.version_before(again)
    versions = {before} if before else set[str]()
    last: dict[str, str] = {}
    for state in states:
        if len(last) == keep and state.version not in last:
            break
        if not state.is_empty:
            last[state.version] = state.digest
    return versions | last.keys() | set(last.values())


def _released(blobs: Blobs, prefix: str, keep: int) -> set[str]:
    """What the last records of a role name, back to the last healthy one at least."""
    recorded = sorted(key for key in blobs.keys(prefix) if keys.released_entry(key) is not None)
    digests: set[str] = set()
    found: set[str] = set()
    healthy = False
    for key in reversed(recorded):
        if len(digests) >= keep and healthy:
            break
        release = releases.decode(blobs.get(key), key)
        digests.add(release.digest)
        found |= {release.version, release.digest}
        healthy = healthy or release.outcome == "healthy"
    return found

"""What stages and releases refer to: the versions that gc keeps."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from artifact_store import layout, releases
from artifact_store.blobs import Blobs
from artifact_store.promotion import Entry
from artifact_store.stagelog import StageLog


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is kept."""

    keep: int = 10
    """So many versions per stage, and per role of its releases: the last ones."""
    grace: timedelta = timedelta(days=30)
    """What is younger is left alone, referred to or not."""


def references(blobs: Blobs, app: str, rules: Rules, now: datetime) -> frozenset[str]:
    """The versions, and the sha256 of artifacts, that something refers to."""
    found: set[str] = set()
    for stage in blobs.folders(layout.stages(app)):
        for entry in _kept_entries(StageLog(blobs, app, stage).newest_first(), rules.keep):
            found |= {entry.state.version, entry.state.digest}
        for blob in blobs.listing(layout.all_approvals(app, stage)):
            if now - blob.modified <= rules.grace and (digest := layout.approved_digest(blob.key)):
                found.add(digest)
    for stage in blobs.folders(layout.all_releases(app)):
        for role in blobs.folders(layout.releases(app, stage)):
            found |= _released(blobs, layout.releases(app, stage, role), rules.keep)
    return frozenset(found - {""})


def _kept_entries(newest_first: Iterator[Entry], keep: int) -> Iterator[Entry]:
    """The entries of the last `keep` versions, and that of the version a rollback would go to.

    That one was left when the current version was last promoted, so no older entries need to be read.
    """
    seen: set[str] = set()
    current = ""
    promoted = False
    for entry in newest_first:
        state = entry.state
        current = current or state.version
        seen.add(state.version)
        if len(seen) <= keep or (promoted and state.version != current):
            yield entry
        if promoted and len(seen) >= max(keep, 2):
            return
        promoted = promoted or (state.action == "promote" and state.version == current)


def _released(blobs: Blobs, prefix: str, keep: int) -> set[str]:
    """What the last records of a role name, back to the last healthy one at least."""
    keys = sorted(key for key in blobs.keys(prefix) if layout.released_entry(key) is not None)
    digests: set[str] = set()
    found: set[str] = set()
    healthy = False
    for key in reversed(keys):
        if len(digests) >= keep and healthy:
            break
        release = releases.decode(blobs.get(key), key)
        digests.add(release.digest)
        found |= {release.version, release.digest}
        healthy = healthy or release.outcome == "healthy"
    return found

"""Records and states as text for people."""

from datetime import datetime

from artifact_store.blobs.protocol import Link
from artifact_store.core import text
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.stages.log_rules import MOST_BEHIND, StageState
from artifact_store.store.artifacts import StoredVersion

_VERBS = {
    "promote": "promoted",
    "rollback": "rolled back to",
    "freeze": "froze it at",
    "unfreeze": "unfroze it at",
    "renew": "renewed",
    "new-origin": "began the log anew at",
    "retire": "retired the stage, which leaves",
}


def version(record: ArtifactRecord, now: datetime) -> str:
    """A version as one line of a list."""
    size, ago = text.size(record.size), text.ago(record.at, now)
    return f"{record.version}  {record.digest[:12]}  {size}  {ago}, by {record.who}"


def _when(at: datetime, now: datetime) -> str:
    """How long ago an entry was written, by its own words."""
    return f"dated {at:%Y-%m-%d %H:%M} UTC, in the future" if at > now + MOST_BEHIND else text.ago(at, now)


def stored(version: StoredVersion, now: datetime) -> str:
    """A version as one line of a listing."""
    bytes_ = f"{version.digest[:12]}  {text.size(version.size)}" if version.digest else "removed"
    return f"{version.version}  {bytes_}  {text.ago(version.pushed, now)}"


def state(state: StageState, now: datetime) -> str:
    """The state of a stage, and its age."""
    frozen = f", frozen: {state.why}" if state.frozen else ""
    expired = "EXPIRED" if state.is_expired(now) else "expires"
    expiry = f", {expired} {state.expires:%Y-%m-%d %H:%M} UTC" if state.expires else ""
    if state.action == "retire":
        return f"retired  entry {state.number}, {_when(state.at, now)}, by {state.who}: {state.why}"
    return (
        f"{state.version or 'no version'}  {state.digest[:12]}  "
        f"entry {state.number}, {_when(state.at, now)}, by {state.who}{frozen}{expiry}"
    )


def sentence(state: StageState, now: datetime, signature: str = "") -> str:
    """An entry of a stage's history in words; `signature` is the text about its signature, or empty."""
    source = f" from {state.source}" if state.source else ""
    approved = f", approved by {' and '.join(state.approved_by)}" if state.approved_by else ""
    signed = f", {signature}" if signature else ""
    why = f": {state.why}" if state.why else ""
    overrode = f"; overrode the rules ({', '.join(state.overrode)}): {state.reason}" if state.overrode else ""
    change = f"{_VERBS[state.action]} {state.version or 'no version'}{source} {_when(state.at, now)}"
    return f"{state.who} {change}{approved}{signed}{why}{overrode}"


def signature(by: tuple[str, ...] | None, count: int) -> str:
    """The signers of an entry with `count` signatures in words; `by` is None if no signers are known."""
    if by is None:
        return "signed (not checked)" if count else ""
    return f"signed by {' and '.join(by)}" if by else "not signed" if not count else "SIGNATURE NOT VALID"


def until(link: Link, now: datetime) -> str:
    """The expiry time of a URL in words."""
    if link.until is None:
        return "the URL does not expire"
    minutes = max(0, round((link.until - now).total_seconds() / 60))
    remaining = f"{minutes // 60} h {minutes % 60:02} min" if minutes < 48 * 60 else f"{minutes // 1440} days"
    session = "; earlier if the session of the AWS credentials ends" if link.session else ""
    return f"secret URL, valid until {link.until:%Y-%m-%d %H:%M} UTC ({remaining}){session}"

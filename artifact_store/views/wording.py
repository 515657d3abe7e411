"""Records and states as words for people; the time is passed in."""

from datetime import datetime

from artifact_store.blobs.protocol import Link
from artifact_store.core import text
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.stages.log_rules import StageState

_DONE = {
    "promote": "promoted",
    "rollback": "rolled back to",
    "freeze": "froze it at",
    "unfreeze": "unfroze it at",
}


def version(record: ArtifactRecord, now: datetime) -> str:
    """A line of a list of versions."""
    size, ago = text.size(record.size), text.ago(record.at, now)
    return f"{record.version}  {record.digest[:12]}  {size}  {ago}, by {record.who}"


def state(state: StageState, now: datetime) -> str:
    """What a stage should run and since when."""
    frozen = f", frozen: {state.why}" if state.frozen else ""
    return (
        f"{state.version or 'nothing'}  {state.digest[:12]}  "
        f"entry {state.number}, {text.ago(state.at, now)}, by {state.who}{frozen}"
    )


def sentence(state: StageState, now: datetime, signature: str = "") -> str:
    """Who did what to a stage, when and why, `signature` of `signature`, and against which rules."""
    source = f" from {state.source}" if state.source else ""
    approved = f", approved by {' and '.join(state.approved_by)}" if state.approved_by else ""
    signed = f", {signature}" if signature else ""
    why = f": {state.why}" if state.why else ""
    against = f"; against the rules ({', '.join(state.overrode)}): {state.reason}" if state.overrode else ""
    did = f"{_DONE[state.action]} {state.version or 'nothing'}{source} {text.ago(state.at, now)}"
    return f"{state.who} {did}{approved}{signed}{why}{against}"


def signature(by: tuple[str, ...] | None, count: int) -> str:
    """Who signed an entry that has `count` signatures; `by` is None if no allowed signers are known."""
    if by is None:
        return "signed (not checked)" if count else ""
    return f"signed by {' and '.join(by)}" if by else "not signed" if not count else "SIGNATURE NOT VALID"


def until(link: Link, now: datetime) -> str:
    """How long a URL works."""
    if link.until is None:
        return "the URL does not expire"
    minutes = max(0, round((link.until - now).total_seconds() / 60))
    left = f"{minutes // 60} h {minutes % 60:02} min" if minutes < 48 * 60 else f"{minutes // 1440} days"
    session = "; earlier, if the session of the AWS credentials ends before" if link.session else ""
    return f"a secret that works until {link.until:%Y-%m-%d %H:%M} UTC ({left}){session}"

"""Records and states as text for people."""

from datetime import UTC, datetime

from artifact_store.blobs.protocol import Link
from artifact_store.core import text
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.records.hosts import HostRecord
from artifact_store.records.releases import ReleaseRecord
from artifact_store.stages.log_rules import MOST_BEHIND, StageState
from artifact_store.store.artifacts import StoredVersion

_LONGEST = 500
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
    """The time of an entry, by its own words, and its age."""
    is_future = at > now + MOST_BEHIND
    return f"{moment(at)}, in the future" if is_future else f"{moment(at)} ({text.ago(at, now)})"


def stored(version: StoredVersion, now: datetime) -> str:
    """A version as one line of a listing."""
    bytes_ = f"{version.digest[:12]}  {text.size(version.size)}" if version.digest else "removed"
    withdrawn = ", withdrawn" if version.withdrawn else ""
    return f"{version.version}  {bytes_}  {text.ago(version.pushed, now)}{withdrawn}"


def state(state: StageState, now: datetime) -> str:
    """The state of a stage, with its time and age."""
    frozen = f", frozen: {shortened(state.why)}" if state.frozen else ""
    expired = "EXPIRED" if state.is_expired(now) else "expires"
    expiry = f", {expired} {moment(state.expires)}" if state.expires else ""
    if state.action == "retire":
        return (
            f"retired  entry {state.number}, {_when(state.at, now)}, by {state.who}: {shortened(state.why)}"
        )
    return (
        f"{state.version or 'no version'}  {state.digest[:12]}  "
        f"entry {state.number}, {_when(state.at, now)}, by {state.who}{frozen}{expiry}"
    )


def line(state: StageState, now: datetime, signature: str = "") -> str:
    """An entry of a stage's history as one line with its number and time, and the URL of its CI run."""
    ci = f" ({state.ci})" if state.ci else ""
    future = ", in the future" if state.at > now + MOST_BEHIND else ""
    return f"{state.number:>4}  {moment(state.at)}{future}  {sentence(state, signature)}{ci}"


def sentence(state: StageState, signature: str = "") -> str:
    """An entry of a stage's history in words; `signature` is the text about its signature, or empty."""
    source = f" from {state.source}" if state.source else ""
    approved = f", approved by {' and '.join(state.approved_by)}" if state.approved_by else ""
    signed = f", {signature}" if signature else ""
    why = f": {shortened(state.why)}" if state.why else ""
    overrode = (
        f"; overrode the rules ({', '.join(state.overrode)}): {shortened(state.reason)}"
        if state.overrode
        else ""
    )
    change = f"{_VERBS[state.action]} {state.version or 'no version'}{source}"
    return f"{state.who} {change}{approved}{signed}{why}{overrode}"


def release(record: ReleaseRecord) -> str:
    """A run of faprelease as one line."""
    verb = "released" if record.action == "release" else "rolled back to"
    hosts = text.count(len(record.hosts), "host", "hosts")
    bad = [f"{host.host} {host.outcome}" for host in record.hosts if host.outcome != record.outcome]
    details = f" ({', '.join(bad)})" if bad else ""
    entry = f", entry {record.entry}" if record.entry else ""
    note = f"; {shortened(record.note)}" if record.note else ""
    ci = f" ({record.ci})" if record.ci else ""
    return (
        f"{moment(record.at)}  {record.stage} {record.role}: {record.who} {verb} "
        f"{record.version or record.digest[:12]} as {record.release}{entry}: {record.outcome} on "
        f"{hosts}{details}{note}{ci}"
    )


def host(record: HostRecord) -> str:
    """The last run on a host that updates itself, as one line."""
    problem = f": {shortened(record.problem)}" if record.problem else ""
    return (
        f"{moment(record.at)}  {record.stage} {record.role}: {record.host} tried {record.version}, "
        f"entry {record.entry}: {record.outcome}{problem}"
    )


def moment(at: datetime) -> str:
    """A time in UTC, to the minute."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def shortened(reason: str) -> str:
    """A text of others, cut if it is very long; --json has all of it."""
    return reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}… (cut; --json has the rest)"


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

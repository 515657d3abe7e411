"""Records and states as words for people; the time is passed in."""

from datetime import datetime

from artifact_store.blobs import Link
from artifact_store.finding import Finding
from artifact_store.promotion import StageState
from artifact_store.record import ArtifactRecord

_DONE = {
    "promote": "promoted",
    "rollback": "rolled back to",
    "freeze": "froze it at",
    "unfreeze": "unfroze it at",
}


def version(record: ArtifactRecord, now: datetime) -> str:
    """A line of a list of versions."""
    return (
        f"{record.version}  {record.digest[:12]}  {size(record.size)}  {ago(record.at, now)}, by {record.who}"
    )


def state(state: StageState, now: datetime) -> str:
    """What a stage should run and since when."""
    frozen = f", frozen: {state.why}" if state.frozen else ""
    return (
        f"{state.version or 'nothing'}  {state.digest[:12]}  "
        f"entry {state.number}, {ago(state.at, now)}, by {state.who}{frozen}"
    )


def sentence(state: StageState, now: datetime, signature: str = "") -> str:
    """Who did what to a stage, when and why, `signature` of `signature`, and against which rules."""
    source = f" from {state.source}" if state.source else ""
    approved = f", approved by {' and '.join(state.approved_by)}" if state.approved_by else ""
    signed = f", {signature}" if signature else ""
    why = f": {state.why}" if state.why else ""
    against = f"; against the rules ({', '.join(state.overrode)}): {state.reason}" if state.overrode else ""
    did = f"{_DONE[state.action]} {state.version or 'nothing'}{source} {ago(state.at, now)}"
    return f"{state.who} {did}{approved}{signed}{why}{against}"


def signature(by: tuple[str, ...] | None, count: int) -> str:
    """Who signed an entry that has `count` signatures; `by` is None if no allowed signers are known."""
    if by is None:
        return "signed (not checked)" if count else ""
    return f"signed by {' and '.join(by)}" if by else "not signed" if not count else "SIGNATURE NOT VALID"


def count(number: int, one: str, many: str) -> str:
    """`1 entry`, `2 entries`."""
    return f"{number} {one if number == 1 else many}"


def finding(found: Finding) -> str:
    """What was found, and behind an arrow what to do about it."""
    fix = f" -> {found.fix}" if found.fix else ""
    return f"{found.verdict:<5}  {found.check}: {found.says}{fix}"


def size(count: int) -> str:
    """A number of bytes, as 12.3 MB or 4.5 kB."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.1f} kB"


def until(link: Link, now: datetime) -> str:
    """How long a URL works."""
    if link.until is None:
        return "the URL does not expire"
    minutes = max(0, round((link.until - now).total_seconds() / 60))
    left = f"{minutes // 60} h {minutes % 60:02} min" if minutes < 48 * 60 else f"{minutes // 1440} days"
    session = "; earlier, if the session of the AWS credentials ends before" if link.session else ""
    return f"a secret that works until {link.until:%Y-%m-%d %H:%M} UTC ({left}){session}"


def printable(line: str) -> str:
    """The line without what moves a terminal's cursor or hides itself: names come from others."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def ago(at: datetime, now: datetime) -> str:
    """How long before `now`, in the largest unit that fits."""
    seconds = (now - at).total_seconds()
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if count := int(seconds // length):
            return f"{count} {unit}{'s' * (count > 1)} ago" if count > 0 else "just now"
    return "just now"

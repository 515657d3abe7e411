"""The rules of a stage's log, as pure functions: what an entry is, and which one comes next.

An entry is an envelope whose statement carries the stage's whole state.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from artifact_store.artifact.ids import check_digest, check_version
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import NotFoundError, StoreError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records import envelope
from artifact_store.records.envelope import Envelope

Action = Literal["promote", "rollback", "freeze", "unfreeze"]


class StageState(msgspec.Struct, frozen=True, kw_only=True):
    """What a stage should run since entry `number` of its log, and who said so: an entry's statement."""

    app: str
    stage: str
    number: int
    action: Action
    version: str
    digest: str
    """The sha256 of the version's tgz, in hexadecimal."""
    frozen: bool
    source: str
    """The stage it was promoted from, or empty."""
    who: str
    why: str
    at: datetime
    """In UTC, by the writer's clock: for people; the order is that of the numbers."""
    operation: str
    """The writer's random id: by it a writer whose reply was lost recognises its own entry."""
    previous: str
    """The sha256 of the bytes of the entry before, or empty for the first."""
    ci: str
    """The URL of the CI run that wrote it, or empty."""
    policy: str = ""
    """The sha256 of the rules it was decided by, or empty if there were none."""
    overrode: tuple[str, ...] = ()
    """The rules that refused it, and were overridden."""
    reason: str = ""
    """Why they were overridden."""
    approved_by: tuple[str, ...] = ()
    """The allowed signers whose approvals were there, if the rules ask for any."""
    signature: str = ""
    """The sha256 that names a valid signature of the artifact: by it readers that can't list find one."""

    @property
    def is_empty(self) -> bool:
        """Whether the stage should run nothing: gc took what was promoted first at the same moment."""
        return not self.version and not self.digest


@dataclass(frozen=True)
class LogEntry:
    """An entry as it was read."""

    state: StageState
    sha256: str
    """Of the entry's bytes, in hexadecimal."""
    sealed: Envelope
    """The statement's very bytes, and the signatures over them."""


@dataclass(frozen=True, kw_only=True)
class StageRequest:
    """What someone wants of a stage; version and digest are empty for freeze and unfreeze."""

    action: Action
    version: str = ""
    digest: str = ""
    source: str = ""
    why: str
    by: Stamp


def statement(state: StageState) -> bytes:
    """The bytes that are signed."""
    return msgspec.json.encode(state)


def encode(state: StageState, signatures: tuple[str, ...] = ()) -> bytes:
    """The bytes of an entry that states `state`; `signatures` are over its `statement`."""
    return envelope.seal(statement(state), signatures)


def decode(data: bytes, app: str, stage: str, number: int) -> LogEntry:
    """Read entry `number` of a stage's log.

    Raises VerificationError if it is no entry, or the entry of another place: a statement names its app,
    stage and number so that it can't be replayed elsewhere.
    """
    place = f"entry {number} of {app} {stage}"
    state, sealed = envelope.read(data, StageState, place)
    try:
        if not state.is_empty:
            check_version(state.version)
            check_digest(state.digest)
    except UsageError as error:
        raise VerificationError(f"{place}: {error.message}", hint="was it written by fapstore?") from error
    if (state.app, state.stage, state.number) != (app, stage, number):
        raise VerificationError(
            f"{place} states entry {state.number} of {state.app} {state.stage}",
            hint="someone copied it there: find out who can write to the store",
        )
    return LogEntry(state, hashlib.sha256(data).hexdigest(), sealed)


def decide(
    current: LogEntry | None, app: str, stage: str, request: StageRequest, *, last: LogEntry | None = None
) -> StageState:
    """The next state of a stage, or the current one itself if it is as requested already.

    `last` is the log's last entry where it isn't `current`: one that lacks a demanded signature takes up a
    number, and what it states counts for nothing. Raises StoreError if the stage is frozen, and NotFoundError
    if there is nothing to freeze.
    """
    state, last = current.state if current else None, last or current
    if state and current is last and _is_so(state, request):
        return state
    if request.action in ("freeze", "unfreeze"):
        if not state or state.is_empty:
            raise NotFoundError(
                f"nothing was promoted to {app} {stage} yet",
                hint=Hint("{fapstore} promote {app} VERSION {stage}", app=app, stage=stage),
            )
        version, digest = state.version, state.digest
    elif state and state.frozen:
        reason = f": {state.why}" if state.why else ""
        raise StoreError(
            f"{app} {stage} is frozen by {state.who}{reason}",
            hint=Hint("{fapstore} unfreeze {app} {stage} --why …", app=app, stage=stage),
        )
    else:
        version, digest = request.version, request.digest
    return StageState(
        app=app,
        stage=stage,
        number=last.state.number + 1 if last else 1,
        action=request.action,
        version=version,
        digest=digest,
        frozen=request.action == "freeze",
        source=request.source,
        who=request.by.who,
        why=request.why,
        at=request.by.at,
        operation=request.by.operation,
        previous=last.sha256 if last else "",
        ci=request.by.ci,
        signature=state.signature if state and state.digest == digest else "",
    )


def last_stay(newest_first: Iterable[LogEntry], digest: str) -> tuple[LogEntry, ...]:
    """The entries of the last time that the artifact was what the stage should run, the newest first.

    Reads no further back than that.
    """
    stay: list[LogEntry] = []
    for entry in newest_first:
        if entry.state.digest == digest:
            stay.append(entry)
        elif stay:
            break
    return tuple(stay)


def _is_so(state: StageState, request: StageRequest) -> bool:
    if request.action in ("freeze", "unfreeze"):
        return state.frozen == (request.action == "freeze")
    return (state.version, state.digest) == (request.version, request.digest)


def check_chain(entries: Iterable[LogEntry]) -> None:
    """Raise VerificationError if an entry does not name the bytes of the entry before it."""
    before = ""
    for entry in entries:
        state = entry.state
        if state.previous != before:
            raise VerificationError(
                f"{state.app} {state.stage}: the entry before {state.number} was changed",
                hint="entries are never changed: find out who can write to the store",
            )
        before = entry.sha256


def version_before(newest_first: Iterable[StageState]) -> str | None:
    """The version a rollback goes to, given a log from its last state on; None if there is none.

    Promotions stack up and a rollback takes off what it left, so a second rollback goes further back
    instead of returning to the version that was just left. Reads no further back than it must: what a
    rollback took off is skipped by looking for the promotion of what it went back to.
    """
    unread, past = iter(newest_first), list[StageState]()

    def read(place: int) -> StageState | None:
        while len(past) <= place and (state := next(unread, None)):
            past.append(state)
        return past[place] if place < len(past) and not past[place].is_empty else None

    looking: list[int] = []  # for what these rollbacks went back to, that of the last one first
    promotions: set[int] = set()  # rollbacks to what others had taken off: they put it on top again
    place = 0
    while True:
        state = read(place)
        if not state:
            if not looking:
                return None
            place = looking.pop()
            promotions.add(place)
            continue
        older = read(place + 1)
        if state.action == "rollback" and place not in promotions:
            looking.append(place)
        elif not older or older.version != state.version:
            while looking and past[looking[-1]].version == state.version:
                looking.pop()
            if not looking:
                return older.version if older else None
        place += 1

"""The entries of a stage's log: their format, and which entry may come next. Pure functions.

An entry is an envelope whose statement is the whole state of the stage.
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
    """The state of a stage since entry `number` of its log: the statement of that entry."""

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
    """In UTC, by the writer's clock. For people only: entries are ordered by their numbers."""
    operation: str
    """The writer's random id. A writer whose reply was lost recognises its own entry by it."""
    previous: str
    """The sha256 of the bytes of the previous entry; empty for the first."""
    ci: str
    """The URL of the CI run that wrote it, or empty."""
    policy: str = ""
    """The sha256 of the rules at that time; empty if there were none."""
    overrode: tuple[str, ...] = ()
    """The rules that refused it and were overridden."""
    reason: str = ""
    """The reason for overriding them."""
    approved_by: tuple[str, ...] = ()
    """The allowed signers who approved it, if the rules require approvals."""
    signature: str = ""
    """The name (sha256) of a valid signature of the artifact, for readers that can't list the store."""

    @property
    def is_empty(self) -> bool:
        """Whether the stage has no version: gc removed its first version while it was promoted."""
        return not self.version and not self.digest


@dataclass(frozen=True)
class LogEntry:
    """An entry of a stage's log."""

    state: StageState
    sha256: str
    """The sha256 of the entry's bytes, in hexadecimal."""
    sealed: Envelope
    """The exact bytes of the statement, and their signatures."""


@dataclass(frozen=True, kw_only=True)
class StageRequest:
    """A requested change of a stage; version and digest are empty for freeze and unfreeze."""

    action: Action
    version: str = ""
    digest: str = ""
    source: str = ""
    why: str
    by: Stamp


def statement(state: StageState) -> bytes:
    """The bytes to sign."""
    return msgspec.json.encode(state)


def encode(state: StageState, signatures: tuple[str, ...] = ()) -> bytes:
    """Encode an entry; `signatures` are those of its `statement`."""
    return envelope.seal(statement(state), signatures)


def decode(data: bytes, app: str, stage: str, number: int) -> LogEntry:
    """Decode entry `number` of a stage's log.

    Raises VerificationError if it is not an entry, or belongs elsewhere: a statement names its app, stage and
    number so that it can't be copied to another place.
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
            f"{place} belongs to entry {state.number} of {state.app} {state.stage}",
            hint="someone copied it there: find out who can write to the store",
        )
    return LogEntry(state, hashlib.sha256(data).hexdigest(), sealed)


def decide(
    current: LogEntry | None, app: str, stage: str, request: StageRequest, *, last: LogEntry | None = None
) -> StageState:
    """The next state of a stage; the current state object itself if it is as requested already.

    `last` is the log's last entry if it isn't `current`: an entry without a required signature uses up a
    number, but its statement is ignored. Raises StoreError if the stage is frozen, and NotFoundError if there
    is nothing to freeze.
    """
    state, last = current.state if current else None, last or current
    if state and current is last and _is_as_requested(state, request):
        return state
    if request.action in ("freeze", "unfreeze"):
        if not state or state.is_empty:
            raise NotFoundError(
                f"{app} {stage} has no version yet",
                hint=Hint("{fapstore} promote {app} VERSION {stage}", app=app, stage=stage),
            )
        version, digest = state.version, state.digest
    elif state and state.frozen:
        reason = f": {state.why}" if state.why else ""
        raise StoreError(
            f"{app} {stage} is frozen by {state.who}{reason}",
            hint=Hint("{fapstore} unfreeze {app} {stage} --why REASON", app=app, stage=stage),
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
    """The entries of the last time that the artifact was on the stage, newest first.

    Reads no older entries than needed.
    """
    stay: list[LogEntry] = []
    for entry in newest_first:
        if entry.state.digest == digest:
            stay.append(entry)
        elif stay:
            break
    return tuple(stay)


def _is_as_requested(state: StageState, request: StageRequest) -> bool:
    if request.action in ("freeze", "unfreeze"):
        return state.frozen == (request.action == "freeze")
    return (state.version, state.digest) == (request.version, request.digest)


def check_chain(entries: Iterable[LogEntry]) -> None:
    """Raise VerificationError if an entry does not name the sha256 of the previous entry."""
    previous = ""
    for entry in entries:
        state = entry.state
        if state.previous != previous:
            raise VerificationError(
                f"{state.app} {state.stage}: the entry before entry {state.number} was changed",
                hint="entries are never changed: find out who can write to the store",
            )
        previous = entry.sha256


def version_before(newest_first: Iterable[StageState]) -> str | None:
    """The version that a rollback goes to, from a log's states, newest first; None if there is none.

    Promotions form a stack, and a rollback removes the top. So a second rollback goes further back instead of
    returning to the version that the first one removed. Reads no older states than needed: what a rollback
    removed is skipped by searching for the promotion of the version that it went back to.
    """
    unread, past = iter(newest_first), list[StageState]()

    def read(place: int) -> StageState | None:
        while len(past) <= place and (state := next(unread, None)):
            past.append(state)
        return past[place] if place < len(past) and not past[place].is_empty else None

    searches: list[int] = []  # rollbacks whose target's promotion is searched, the last one on top
    promotions: set[int] = set()  # rollbacks to a version that was removed before: they act as promotions
    place = 0
    while True:
        state = read(place)
        if not state:
            if not searches:
                return None
            place = searches.pop()
            promotions.add(place)
            continue
        older = read(place + 1)
        if state.action == "rollback" and place not in promotions:
            searches.append(place)
        elif not older or older.version != state.version:
            while searches and past[searches[-1]].version == state.version:
                searches.pop()
            if not searches:
                return older.version if older else None
        place += 1

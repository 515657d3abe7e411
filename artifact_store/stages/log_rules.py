"""The entries of a stage's log: their format, and which entry may come next. Pure functions.

An entry is an envelope whose statement is the whole state of the stage. A reader ignores fields that it does
not know, and refuses a `format` that it does not know.
"""

import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Annotated, Literal

import msgspec

from artifact_store.artifact.ids import check_digest, check_operation, check_version
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import NotFoundError, StoreError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records import envelope
from artifact_store.records.envelope import Envelope

Action = Literal["promote", "rollback", "freeze", "unfreeze", "renew", "new-origin", "retire"]
KEEPING: frozenset[Action] = frozenset(["freeze", "unfreeze", "renew", "new-origin"])
"""The actions that keep the version of the stage."""
Time = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its time zone; ours are in UTC."""

STATEMENT_1 = "fapkit-stage/1"
"""The format of statements that name none."""
STATEMENT_2 = "fapkit-stage/2"
FORMATS = (STATEMENT_1, STATEMENT_2)
"""The formats that can be read, the oldest first. Only the last one is written."""
_MOST_BAD = 100
"""The most versions that `StageState.bad` lists, so that entries stay small."""
MOST_BEHIND = timedelta(hours=1)
"""How far the clock of a writer may be behind the time of the entry before its own."""


class StageState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a stage since entry `number` of its log: the statement of that entry."""

    format: str = STATEMENT_1
    app: str
    stage: str
    number: int
    action: Action
    version: str
    digest: str
    """The sha256 of the version's tgz, in hexadecimal."""
    root: str = ""
    """The root of the version's Merkle tree, in hexadecimal; empty if it has none."""
    index: str = ""
    """The sha256 of an OCI index that has the version for several platforms, or empty."""
    frozen: bool
    source: str
    """The stage it was promoted from, or empty."""
    who: str
    why: str
    at: Time
    """In UTC, by the writer's clock. It never runs backwards in statements 2. Numbers order the entries."""
    expires: Time | None = None
    """The time (UTC) after which readers refuse it as the last entry; None if it does not expire."""
    operation: str
    """The writer's random id. A writer whose reply was lost recognises its own entry by it."""
    origin: str = ""
    """The operation of the log's first entry, or of the last `new-origin`, which all repeat: another log has
    another one. Empty in statements 1; the first statement 2 after them begins it."""
    previous: str
    """The sha256 of the bytes of the previous entry; empty for the first."""
    after: int = 0
    """The number of the entry that `previous` names, if entries between could not be read and are passed
    over; 0 if it is the one before."""
    ci: str
    """The URL of the CI run that wrote it, or empty."""
    policy: str = ""
    """The sha256 of the rules at that time; empty if there were none."""
    overrode: tuple[str, ...] = ()
    """What refused it and was overridden: rules, `gc` for a mark on its version, `clock` for the time of the
    entry before, `unreadable` for a last entry that can't be read."""
    reason: str = ""
    """The reason for overriding them."""
    approved_by: tuple[str, ...] = ()
    """The allowed signers who approved it, if the rules require approvals."""
    signature: str = ""
    """The name (sha256) of a valid signature of the artifact, for readers that can't list the store."""
    bad: tuple[str, ...] | None = None
    """The sha256 of the versions that a rollback removed, and that nobody put on the stage again; the latest
    is last. None in the entries of an older fapkit: there the log shows it."""

    def is_expired(self, now: datetime) -> bool:
        """Whether readers refuse it as the last entry of its log."""
        return self.expires is not None and now > self.expires

    @property
    def is_empty(self) -> bool:
        """Whether the stage has no version: it was retired, or gc removed its first one meanwhile."""
        return not self.version and not self.digest


class _Format(msgspec.Struct, frozen=True):
    format: str = STATEMENT_1


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
    """A requested change of a stage; version and digest are empty for an action that keeps the version."""

    action: Action
    version: str = ""
    digest: str = ""
    source: str = ""
    why: str
    by: Stamp
    lifetime: timedelta | None = None
    """How long readers accept the entry as the last one; zero: always. None: as the rules say, or else as
    long as the entry before it."""


def statement(state: StageState) -> bytes:
    """The bytes to sign."""
    return msgspec.json.encode(state)


def encode(state: StageState, signatures: tuple[str, ...] = ()) -> bytes:
    """Encode an entry; `signatures` are those of its `statement`."""
    return envelope.seal(statement(state), signatures)


def decode(data: bytes, app: str, stage: str, number: int) -> LogEntry:
    """Decode entry `number` of a stage's log.

    Raises VerificationError if it is not an entry, has a format of a newer fapkit, or belongs elsewhere: a
    statement names its app, stage and number so that it can't be copied to another place.
    """
    place = f"entry {number} of {app} {stage}"
    named, _ = envelope.read(data, _Format, place)
    if named.format not in FORMATS:
        raise VerificationError(
            f"{place} has the format {named.format!r}: this log was written by a newer fapkit",
            hint="upgrade fapkit here; if nobody uses a newer one: find out who can write to the store",
        )
    state, sealed = envelope.read(data, StageState, place)
    try:
        _check_values(state)
    except UsageError as error:
        raise VerificationError(f"{place}: {error.message}", hint="was it written by fapstore?") from error
    if (state.app, state.stage, state.number) != (app, stage, number):
        raise VerificationError(
            f"{place} belongs to entry {state.number} of {state.app} {state.stage}",
            hint="someone copied it there: find out who can write to the store",
        )
    return LogEntry(state, hashlib.sha256(data).hexdigest(), sealed)


def _check_values(state: StageState) -> None:
    """Raise UsageError for a value that can't be one: some are shown as a part of a command."""
    if not state.is_empty:
        check_version(state.version)
        check_digest(state.digest)
    for digest in filter(None, (state.root, state.index)):
        check_digest(digest)
    for time in filter(None, (state.at, state.expires)):
        if time.utcoffset():
            raise UsageError(f"{time} is not in UTC")
    if state.format != STATEMENT_1:
        check_operation(state.origin)


def decide(
    current: LogEntry | None,
    app: str,
    stage: str,
    request: StageRequest,
    *,
    last: LogEntry | None = None,
    over: int = 0,
    max_age: timedelta | None = None,
    bad: tuple[str, ...] = (),
    override: bool = False,
) -> StageState:
    """The next state of a stage; the current state object itself if it is as requested already.

    A promotion with `override` states again what the stage has: it may be refused by now.

    `last` is the log's last entry if it isn't `current`: an entry without a required signature uses up a
    number, but its statement is ignored. `over` is the number of an entry that can't be read, if that is the
    last one: the next entry goes on top of it, and names `last` as the one before. `max_age` is the lifetime
    of entries by the rules. `bad` are the `bad_versions` of the log.

    Raises StoreError if the stage is frozen or, without `override`, the writer's clock is far behind,
    NotFoundError if there is nothing to freeze or to renew, and UsageError if a renewed entry does not expire
    or an entry would live longer than the rules allow.
    """
    state, last = current.state if current else None, last or current
    again = override and request.action == "promote"
    if state and current is last and not over and not again and is_as_requested(state, request):
        return state
    if request.action in KEEPING:
        if not state or state.is_empty:
            raise NotFoundError(
                f"{app} {stage} has no version yet",
                hint=Hint("{fapstore} promote {app} VERSION {stage}", app=app, stage=stage),
            )
        version, digest = state.version, state.digest
    elif request.action == "retire" and not state:
        raise NotFoundError(
            f"{app} has no stage {stage}", hint=Hint("see them: {fapstore} stages {app}", app=app)
        )
    elif state and state.frozen:
        by = f" by {state.who}" if state.action == "freeze" else ""
        reason = f": {state.why}" if state.why else ""
        raise StoreError(
            f"{app} {stage} is frozen{by}{reason}",
            hint=Hint("{fapstore} unfreeze {app} {stage} --why REASON", app=app, stage=stage),
        )
    else:
        version, digest = request.version, request.digest
    same = state if state and state.digest == digest else None
    renewed = state if state and request.action in ("renew", "new-origin") else None
    begins = not state or not state.origin or request.action == "new-origin"
    at = _time_after(state, request, override=override)
    return StageState(
        format=STATEMENT_2,
        app=app,
        stage=stage,
        number=(over or (last.state.number if last else 0)) + 1,
        action=request.action,
        version=version,
        digest=digest,
        root=same.root if same else "",
        index=same.index if same else "",
        frozen=renewed.frozen if renewed else request.action == "freeze",
        source=request.source,
        who=request.by.who,
        why=request.why or (renewed.why if renewed and renewed.frozen else ""),
        at=at,
        expires=_expiry(state, stage, request, at, max_age),
        operation=request.by.operation,
        origin=request.by.operation if begins or not state else state.origin,
        previous=last.sha256 if last else "",
        after=last.state.number if last and over else 0,
        ci=request.by.ci,
        signature=same.signature if same else "",
        bad=_bad_after(bad, state, request.action, digest, request.by.operation),
    )


def bad_versions(newest_first: Iterable[StageState]) -> tuple[str, ...]:
    """The sha256 of the versions that a rollback removed, and that nobody put on the stage again.

    The latest is last. Reads no older states than needed: those of an older fapkit do not say it.
    """
    states: list[StageState] = []
    for state in newest_first:
        states.append(state)
        if state.bad is not None:
            break
    bad: tuple[str, ...] = ()
    before = None
    for state in reversed(states):
        bad = _bad_after(bad, before, state.action, state.digest, state.operation, state.bad)
        before = state
    return bad


def _bad_after(
    bad: tuple[str, ...],
    before: StageState | None,
    action: Action,
    digest: str,
    operation: str,
    stated: tuple[str, ...] | None = None,
) -> tuple[str, ...]:
    """The bad versions after an entry that puts `digest` on a stage with the state `before`."""
    if stated is not None:
        return stated
    if before is None or before.digest == digest:
        return bad
    rest = tuple(each for each in bad if each not in (digest, before.digest))
    if action != "rollback" or not before.digest or operation == taken_back(before.operation):
        return rest
    return (*rest, before.digest)[-_MOST_BAD:]


def taken_back(operation: str) -> str:
    """The operation of the entry that undoes the entry of `operation`, because gc removed its version."""
    return f"{operation}-back"


def _expiry(
    state: StageState | None, stage: str, request: StageRequest, at: datetime, max_age: timedelta | None
) -> datetime | None:
    """The time after which an entry of the time `at` is refused; None if it does not expire."""
    lifetime = request.lifetime
    if lifetime is None:
        lifetime = max_age or (state.expires - state.at if state and state.expires else timedelta(0))
    if max_age and (not lifetime or lifetime > max_age):
        raise UsageError(
            f"by the rules, entries of {stage} expire after {max_age.total_seconds() / 86400:g} days at most",
            hint="name a shorter time with --expires, or change max_age in the rules",
        )
    if request.action == "renew" and not lifetime and request.lifetime is None:
        raise UsageError(
            f"the last entry of {stage} does not expire, so there is nothing to renew",
            hint="name a time with --expires 14d, or set max_age in the rules",
        )
    try:
        return at + lifetime if lifetime else None
    except OverflowError:  # the clock of an entry before this one said the year 9999
        return datetime.max.replace(tzinfo=UTC)


def _time_after(state: StageState | None, request: StageRequest, *, override: bool) -> datetime:
    """The time of the entry after `state`: that of the writer's clock, or the same time if it is behind.

    Raises StoreError for a promotion or a renewal whose clock is too far behind, without `override`. A
    rollback or a freeze is never refused for that: one wrong clock must not stop an emergency.
    """
    clock = request.by.at
    if state is None or clock >= state.at:
        return clock
    if request.action in ("promote", "renew") and not override and state.at - clock > MOST_BEHIND:
        raise StoreError(
            f"entry {state.number} of {state.app} {state.stage} is of {state.at:%Y-%m-%d %H:%M} UTC, "
            f"and this machine's clock says {clock:%Y-%m-%d %H:%M} UTC: times in a log never run backwards",
            hint=f"set this clock; if that of {state.who} was wrong: {request.action} with --override REASON",
        )
    return state.at


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


def last_stays(newest_first: Iterable[LogEntry]) -> dict[str, tuple[LogEntry, ...]]:
    """The `last_stay` of each artifact, by its sha256."""
    stays: dict[str, tuple[LogEntry, ...]] = {}
    for digest, entries in groupby(newest_first, key=lambda entry: entry.state.digest):
        stay = tuple(entries)
        stays.setdefault(digest, stay)
    return stays


def is_as_requested(state: StageState, request: StageRequest) -> bool:
    """Whether a stage with this state needs no change."""
    if request.action in ("renew", "new-origin") or request.lifetime is not None:
        return False
    if request.action in KEEPING:
        return state.frozen == (request.action == "freeze")
    return (state.version, state.digest) == (request.version, request.digest)


def problem_after(before: StageState, state: StageState) -> str:
    """What is wrong with a state that follows `before` in a log; empty if nothing is.

    A log never goes back to an older format, to an earlier time, or on to another origin.
    """
    place = f"entry {state.number} of {state.app} {state.stage}"
    if FORMATS.index(state.format) < FORMATS.index(before.format):
        return f"{place} is a {state.format} after a {before.format}: an older fapkit or an intruder wrote it"
    if state.format == STATEMENT_1:
        return ""
    begins = state.action == "new-origin" and state.origin == state.operation
    if before.format != STATEMENT_1 and state.origin != before.origin and not begins:
        return f"{place} belongs to another log, which began with {state.origin}, not with {before.origin}"
    if state.at < before.at:
        return f"{place} says that it was made before entry {before.number}"
    return ""


def check_chain(entries: Sequence[LogEntry], passed_over: Container[int] = (), *, whole: bool = True) -> None:
    """Raise VerificationError if an entry does not name the sha256 of the previous entry.

    If the entries are not the `whole` log, the one before the first is not known.

    `passed_over` are the numbers of entries that can't be read: the entry after them either names the last
    one before them, or one of them.
    """
    previous = "" if whole or not entries else entries[0].state.previous
    for entry in entries:
        state = entry.state
        unknown = not state.after and state.number - 1 in passed_over
        if state.previous != previous and not unknown:
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

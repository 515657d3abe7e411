"""Find an entry that another writer overwrote, in a storage that lets two writers succeed at once.

Where `create` is not known to be atomic, a writer keeps a copy of its entry beside the log, waits, and reads
the entry again. So the loser of a race learns that it lost, and `verify` finds every entry that was accepted
and is not in the log, even if it was overwritten after the loser looked. A writer also waits before it goes
on from a young entry, which may be overwritten.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta

from artifact_store.blobs.protocol import Blobs, keep
from artifact_store.core.errors import (
    ConflictError,
    FapError,
    NotFoundError,
    UncheckedError,
    VerificationError,
)
from artifact_store.core.hints import Hint
from artifact_store.records import keys
from artifact_store.stages import log_rules
from artifact_store.stages.log_rules import LogEntry, StageState

_WAIT = 1.0
"""Seconds. A server whose check and write are two steps takes milliseconds between them."""

_YOUNG = timedelta(minutes=30)
"""The most by which two clocks differ that S3 accepts."""


def settle(blobs: Blobs, state: StageState) -> None:
    """Make sure that the entry before `state` stays, which is to be written next.

    Raises ConflictError if that entry is not the one that `state` names as the one before.
    """
    if blobs.is_atomic or not state.previous or state.after:
        return
    app, stage, number = state.app, state.stage, state.number - 1
    key = keys.entry(app, stage, number)
    if state.at - log_rules.decode(blobs.get(key), app, stage, number).state.at < _YOUNG:
        time.sleep(_WAIT)
    before = blobs.get(key)
    if hashlib.sha256(before).hexdigest() != state.previous:
        raise ConflictError(
            f"{app} {stage}: {_named(before, app, stage, number)} changed it at the same time",
            hint=Hint("see `{fapstore} history {app} {stage}`, then decide again", app=app, stage=stage),
        )


def confirm(blobs: Blobs, state: StageState, data: bytes) -> None:
    """Make sure that `data`, just written as the entry `state`, is the entry that stays.

    Raises ConflictError, naming the winner, if it was overwritten, and UncheckedError if that can't be seen.
    """
    if blobs.is_atomic:
        return
    app, stage, number = state.app, state.stage, state.number
    try:
        keep(blobs, keys.receipt(app, stage, number, state.operation), data)
        time.sleep(_WAIT)
        stored = blobs.get(keys.entry(app, stage, number))
    except FapError as error:
        raise UncheckedError(
            f"{app} {stage} has {state.version or 'no version'} now (entry {number} is in the log), "
            f"but whether another writer overwrote it could not be checked: {error.message}",
            hint=Hint.lines(
                [error.hint, Hint("then: {fapstore} history {app} {stage}", app=app, stage=stage)]
            ),
        ) from error
    if stored != data:
        raise ConflictError(
            f"{app} {stage}: {_named(stored, app, stage, number)} overwrote entry {number} "
            f"({state.action} {state.version}): the store let both writers succeed",
            hint=Hint(
                "see `{fapstore} history {app} {stage}`, then decide again; "
                "this store is not safe for promotions: {fapstore} doctor",
                app=app,
                stage=stage,
            ),
        )


def overwritten(
    blobs: Blobs,
    app: str,
    stage: str,
    entries: Iterable[LogEntry],
    counts: Callable[[LogEntry | None], bool],
) -> Iterator[str]:
    """The entries that the storage accepted, and that are not in the log, of which `entries` were read.

    `counts` decides about the copy of such an entry, None if it can't be read.
    """
    operations = {entry.state.number: entry.state.operation for entry in entries}
    for key in blobs.keys(keys.receipts(app, stage)):
        place = keys.receipt_place(key)
        if place and operations.get(place[0]) != place[1]:
            number, data = place[0], blobs.get(key)
            with suppress(NotFoundError):
                if blobs.get(keys.entry(app, stage, number)) == data:  # it is younger than what was read
                    continue
            if not counts(_decoded(data, app, stage, number)):
                continue
            lost = _named(data, app, stage, number)
            yield f"entry {number} by {lost} was accepted by the store, and is not in the log ({key})"


def _named(data: bytes, app: str, stage: str, number: int) -> str:
    """The author and the action of an entry, for people."""
    entry = _decoded(data, app, stage, number)
    if entry is None:
        return "someone whose entry can't be read"
    return f"{entry.state.who} ({entry.state.action} {entry.state.version})"


def _decoded(data: bytes, app: str, stage: str, number: int) -> LogEntry | None:
    with suppress(VerificationError):
        return log_rules.decode(data, app, stage, number)
    return None

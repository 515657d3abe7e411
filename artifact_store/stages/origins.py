"""The origins of a log: which entries were written for it, and not copied from that of another store.

A log begins with its first entry. After its bucket was restored or copied, an entry with the action
`new-origin` begins it anew, so that later entries of the other copy count for nothing in this one. Marks name
those entries, so that a reader finds them without reading the whole log:

    <app>/stages/<stage>/origins/00000001.json      {"entry": 42}
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

import msgspec

from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import ConflictError, NotFoundError, VerificationError
from artifact_store.records import keys
from artifact_store.stages import log_rules
from artifact_store.stages.log import StageLog
from artifact_store.stages.log_rules import LogEntry, StageState


class _Mark(msgspec.Struct, frozen=True):
    entry: int


@dataclass(frozen=True)
class Origin:
    """The origin that entries state from a number on; empty if they need not state one."""

    number: int
    origin: str


def read(blobs: Blobs, log: StageLog, may_begin: Callable[[LogEntry], bool]) -> Iterator[Origin]:
    """The origins of a log, the oldest first. An entry that `may_begin` refuses begins nothing."""
    for entry in log.oldest_first():
        if entry.state.format == log_rules.STATEMENT_1:
            break
        if may_begin(entry):
            yield Origin(entry.state.number, entry.state.origin)
            break
    for number in count(1):
        try:
            mark = msgspec.json.decode(blobs.get(keys.origin(log.app, log.stage, number)), type=_Mark)
        except NotFoundError:
            return
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, VerificationError):
            continue  # a stranger's object begins nothing
        with suppress(VerificationError):
            begun = log.entry(mark.entry)
            if begun and begun.state.action == "new-origin" and log.follows(begun) and may_begin(begun):
                yield Origin(mark.entry, begun.state.origin)


def at(origins: Sequence[Origin], number: int) -> str:
    """The origin that entry `number` has to state; empty if it need not state one."""
    begun = [each for each in origins if each.number <= number]
    return max(begun, key=lambda each: each.number).origin if begun else ""


def mark(blobs: Blobs, state: StageState) -> None:
    """Mark an entry whose action is `new-origin`, before it is written: without it a mark begins nothing."""
    for number in count(1):
        with suppress(ConflictError):
            blobs.create(
                keys.origin(state.app, state.stage, number), msgspec.json.encode(_Mark(state.number))
            )
            return

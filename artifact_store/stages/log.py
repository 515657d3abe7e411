"""Read and extend the logs of stages in a store."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import count, pairwise

from artifact_store.artifact.ids import is_stage
from artifact_store.blobs.protocol import Blobs, has_all_keys, keep
from artifact_store.core.errors import (
    ConflictError,
    FapError,
    NotFoundError,
    StoreError,
    UncertainError,
    UncheckedError,
    UnreachableError,
    VerificationError,
)
from artifact_store.core.hints import Hint
from artifact_store.records import keys
from artifact_store.stages import log_rules, lost_races
from artifact_store.stages.log_rules import LogEntry, StageState

_MOST_AHEAD = 512


class StageLogs:
    """The logs of all stages, with one StageLog for each."""

    def __init__(self, blobs: Blobs, *, unsafe: bool = False) -> None:
        """With `unsafe`, entries are written even if the store allows overwriting."""
        self._blobs = blobs
        self._unsafe = unsafe
        self._logs: dict[tuple[str, str], StageLog] = {}

    @property
    def can_list(self) -> bool:
        """Whether the store can list its stages."""
        return self._blobs.can_list

    def names(self, app: str) -> tuple[str, ...]:
        """The stages of an app that have a log or an approval. A folder with another name is a stranger's."""
        return tuple(filter(is_stage, self._blobs.folders(keys.stages(app))))

    def overwritten(
        self, app: str, stage: str, entries: Iterable[LogEntry], counts: Callable[[LogEntry | None], bool]
    ) -> Iterator[str]:
        """The entries that the store accepted, and that are not in the log; see `lost_races`."""
        return lost_races.overwritten(self._blobs, app, stage, entries, counts)

    def of(self, app: str, stage: str) -> "StageLog":
        """The log of a stage."""
        if (app, stage) not in self._logs:
            self._logs[app, stage] = StageLog(self._blobs, app, stage, unsafe=self._unsafe)
        return self._logs[app, stage]


class _Ahead:
    """Entries that are read before they are needed, several at a time: first one, then two, four … more."""

    def __init__(self, blobs: Blobs, app: str, stage: str) -> None:
        self._blobs = blobs
        self._app = app
        self._stage = stage
        self.window = 1
        """The number of entries to read the next time."""
        self.entries: dict[int, LogEntry] = {}

    def read(self, numbers: range) -> None:
        """Read the entries with these numbers, unless the first one was read already.

        Problems are left to whatever needs the entry.
        """
        if not numbers or numbers[0] in self.entries:
            return
        self.window = min(2 * self.window, _MOST_AHEAD)
        bodies = self._blobs.get_each(keys.entry(self._app, self._stage, number) for number in numbers)
        with suppress(FapError):
            for number, data in zip(numbers, bodies, strict=True):
                with suppress(VerificationError):
                    if data is not None:
                        self.entries[number] = log_rules.decode(data, self._app, self._stage, number)


class StageLog:
    """The log of one stage. It never goes back below the highest number it has read."""

    def __init__(self, blobs: Blobs, app: str, stage: str, *, unsafe: bool = False) -> None:
        """With `unsafe`, entries are written even if the store allows overwriting."""
        self._blobs = blobs
        self._proven = unsafe
        self.app = app
        self.stage = stage
        self._seen: LogEntry | None = None
        self._passed_over: dict[int, str] = {}
        self._settled: set[range] = set()
        self._near: dict[int, LogEntry] = {}
        self._linked: set[str] = set()

    def last(self) -> LogEntry | None:
        """The last entry, which states the stage's state; None if the log is empty."""
        seen = self._seen.state.number if self._seen else 0
        self._seen = self._listed(seen) if self._blobs.can_list else self._bisected(seen)
        return self._seen

    def all(self) -> list[LogEntry]:
        """All entries that can be read, oldest first. Raises VerificationError if the chain is broken.

        Entries that can't be read or are missing are in `passed_over` then.
        """
        entries = list(self.readable())[::-1]
        log_rules.check_chain(entries, self._passed_over)
        return entries

    def tip(self) -> tuple[int, LogEntry | None]:
        """The highest number of the log (0: none), and its entry, or None if that can't be read."""
        try:
            last = self.last()
            return (last.state.number, last) if last else (0, None)
        except VerificationError:
            if not self._blobs.can_list:
                raise
            number = max(self._numbers())
            return number, self._readable(number)

    def entry(self, number: int) -> LogEntry | None:
        """The entry with this number; None if there is none. Raises VerificationError if it can't be read."""
        return self._find(number)

    def follows(self, entry: LogEntry) -> bool:
        """Whether `entry` names the one before it, or that one is missing; an acting reader checks this."""
        state = entry.state
        number = state.after or state.number - 1
        if not number:
            return not state.previous
        if entry.sha256 not in self._linked and self._digest(number) in ("", state.previous):
            self._linked.add(entry.sha256)
        return entry.sha256 in self._linked

    def _digest(self, number: int) -> str:
        """The sha256 of the bytes of an entry; empty if it is missing, "changed" if it is too large."""
        if number in self._near:
            return self._near[number].sha256
        try:
            return hashlib.sha256(self._blobs.get(keys.entry(self.app, self.stage, number))).hexdigest()
        except NotFoundError:
            return ""
        except VerificationError:
            return "changed"

    def oldest_first(self) -> Iterator[LogEntry]:
        """The entries from the first one on, each read when needed, up to one that can't be read."""
        ahead = _Ahead(self._blobs, self.app, self.stage)
        for number in count(1):
            if number not in self._near:
                ahead.read(range(number, number + ahead.window))
            try:
                entry = self._near.get(number) or ahead.entries.get(number) or self._find(number)
            except VerificationError:
                return
            if entry is None:
                return
            yield entry

    @property
    def passed_over_numbers(self) -> frozenset[int]:
        """The numbers of the entries that were passed over, also of those in `passed_over` no more."""
        return frozenset(self._passed_over)

    @property
    def passed_over(self) -> tuple[str, ...]:
        """What is wrong with the entries that `readable`, `all` or `tip` passed over; each names its key.

        Those that a later entry passed over knowingly are left out.
        """
        return tuple(
            problem
            for number, problem in sorted(self._passed_over.items())
            if not any(number in numbers for numbers in self._settled)
        )

    def readable(self) -> Iterator[LogEntry]:
        """The entries that can be read, newest first. The chain is not checked."""
        number, entry = self.tip()
        numbers: list[int] | None = None
        ahead = _Ahead(self._blobs, self.app, self.stage)
        while number:
            if entry:
                if entry.state.after:
                    self._settled.add(range(entry.state.after + 1, number))
                yield entry
                number -= 1
            else:  # a gap may be long, so the rest is listed
                numbers = self._numbers() if numbers is None else numbers
                number = max((each for each in numbers if each < number), default=0)
            ahead.read(range(number, max(0, number - ahead.window), -1))
            entry = (ahead.entries.get(number) or self._readable(number)) if number else None

    def all_before(self, number: int) -> list[LogEntry]:
        """The readable entries before this number, oldest first. The chain is not checked."""
        return [entry for entry in self.readable() if entry.state.number < number][::-1]

    def gap_below(self, number: int, counted: int) -> int:
        """The first number without an object between the entries `counted` and `number`; 0 if there is none.

        A reader that can't list sees no entry above it.
        """
        return next(filter(self._is_missing, range(counted + 1, number)), 0)

    def gaps(self) -> list[int]:
        """The first number of each gap, if anything was passed over."""
        numbers = [0, *sorted(self._numbers())] if self._passed_over else []
        return [one + 1 for one, other in pairwise(numbers) if other > one + 1]

    def _is_missing(self, number: int) -> bool:
        return self._blobs.size(keys.entry(self.app, self.stage, number)) is None

    def append(self, state: StageState, signatures: tuple[str, ...] = ()) -> None:
        """Write the next entry. Raises ConflictError, naming the winner, if someone else was first.

        Raises StoreError if the store allows overwriting: then two writers could both be first. Raises
        UncheckedError if whether the entry was written, or whether it stays, can't be found out.
        """
        self._prove(state.after or (state.number - 1 if state.previous else 0))
        data = log_rules.encode(state, signatures)
        lost_races.settle(self._blobs, state)
        self._write(state, data)
        lost_races.confirm(self._blobs, state, data)

    def _write(self, state: StageState, data: bytes) -> None:
        key = keys.entry(self.app, self.stage, state.number)
        try:
            self._blobs.create(key, data)
        except ConflictError:
            written = self._written(state)
            if written is None:
                raise StoreError(
                    f"{self._blobs.name}: {key} is refused as existing, but can't be read",
                    hint="a deleted object may count as existing in a bucket with versions: restore it, "
                    "or use a store where deleted keys are free; `fapstore doctor` tests the store",
                ) from None
            winner = written.state
            if winner.operation == state.operation:
                return
            raise ConflictError(
                f"{self.app} {self.stage}: {winner.who} changed it first "
                f"(entry {winner.number}: {winner.action} {winner.version})",
                hint=Hint(
                    "see `{fapstore} history {app} {stage}`, then decide again",
                    app=self.app,
                    stage=self.stage,
                ),
            ) from None
        except (UnreachableError, UncertainError):
            written = self._written(state)
            if written is None or written.state.operation != state.operation:
                raise

    def _written(self, state: StageState) -> LogEntry | None:
        """The entry at the number of `state`, whose own write was refused or had no answer.

        Raises UncheckedError if it can't be read: the entry may be that of `state`.
        """
        try:
            return self._find(state.number)
        except FapError as error:
            raise UncheckedError(
                f"{state.app} {state.stage}: whether entry {state.number} ({state.action} {state.version}) "
                f"was written is not known: {error.message}",
                hint=Hint.lines(
                    [
                        error.hint,
                        Hint("then: {fapstore} history {app} {stage}", app=state.app, stage=state.stage),
                    ]
                ),
            ) from error

    def _prove(self, number: int) -> None:
        """Write an entry that can be read again, unchanged: that is harmless, and the store must refuse it.

        Before the first entry, number 0 stands for it: an empty object that is no entry.
        """
        if self._proven:
            return
        key = keys.entry(self.app, self.stage, number)
        try:
            if number == 0:
                keep(self._blobs, key, b"")
            self._blobs.create(key, self._blobs.get(key))
        except ConflictError:
            self._proven = True
            return
        if number == 0:
            with suppress(FapError):  # a refused promotion leaves nothing behind, if its key may delete
                self._blobs.delete(key)
        raise StoreError(
            f"{self._blobs.name} allows overwriting, so one of two simultaneous promotions could be lost",
            hint=Hint(
                "see `{fapstore} doctor`; if nobody else promotes now, use `{fapstore} --unsafe-store`"
            ),
        )

    def _listed(self, seen: int) -> LogEntry | None:
        """List the log to its end, then read further numbers, because a listing may be outdated."""
        highest = max((seen, *self._numbers(seen)))
        last = self._seen if highest == seen else self._existing(highest)
        while further := self._find(highest + 1):
            highest, last = highest + 1, further
        return last

    def _bisected(self, seen: int) -> LogEntry | None:
        """Without a listing: read the numbers 1, 2, 4, 8 … further on, then bisect the last gap."""
        self._near = {seen: self._seen} if self._seen else {}
        low, high = seen, seen + 1
        while self._is_there(high):
            if high > keys.HIGHEST_ENTRY:
                raise has_all_keys(self._blobs)
            low, high = high, seen + 2 * (high - seen)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._is_there(middle) else (low, middle)
        return self._near.get(low) or (self._existing(low) if low else None)

    def _is_there(self, number: int) -> bool:
        """Whether there is an object with this number; a later entry may have passed it over."""
        with suppress(VerificationError):
            entry = self._find(number)
            if entry:
                self._near[number] = entry
            return entry is not None
        return True

    def _numbers(self, after: int = 0) -> list[int]:
        """The numbers of all entries of the log after that number, readable or not, in no order.

        Numbers of nine digits are counted from 100000000 on without a gap: a stranger's 999999999 is none.
        """
        start = keys.entry(self.app, self.stage, after) if after else ""
        below = set(self._blobs.keys(keys.log(self.app, self.stage), start))
        numbers = [number for number in map(keys.entry_number, below) if number]
        highest = max((after, *numbers))
        while keys.entry(self.app, self.stage, highest + 1) in below:
            highest += 1
            numbers.append(highest)
        return numbers

    def _readable(self, number: int) -> LogEntry | None:
        """The entry with this number; None, and noted in `passed_over`, if it can't be read or is missing."""
        try:
            entry = self._find(number)
            problem = "it is missing, but later entries exist"
        except VerificationError as error:
            entry, problem = None, error.message
        if entry is None:
            key = keys.entry(self.app, self.stage, number)
            self._passed_over[number] = f"{key} is passed over: {problem}"
        return entry

    def _find(self, number: int) -> LogEntry | None:
        try:
            data = self._blobs.get(keys.entry(self.app, self.stage, number))
        except NotFoundError:
            return None
        return log_rules.decode(data, self.app, self.stage, number)

    def _existing(self, number: int) -> LogEntry:
        entry = self._find(number)
        if entry is None:
            raise StoreError(
                f"{self._blobs.name}: entry {number} of {self.app} {self.stage} is missing, "
                "but later entries exist",
                hint="entries are never deleted: restore it from a backup or from the bucket's versions",
            )
        return entry

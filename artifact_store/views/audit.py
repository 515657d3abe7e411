"""Whether a store's content is what it says it is: bytes, signatures, logs and release records.

Everything is read again and nothing is written. A problem is what no writer of ours makes; a note is what an
auditor wants to know.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from artifact_store.core import text
from artifact_store.core.errors import (
    FapError,
    NotFoundError,
    StoreError,
    UnreachableError,
    VerificationError,
)
from artifact_store.core.hints import Hint
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.stages.log_rules import LogEntry
from artifact_store.store.store import Store
from artifact_store.trust.rules import Trust


@dataclass(frozen=True)
class Check:
    """What was looked at, what was found right, and what was not."""

    what: str
    said: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class _Bytes:
    """Takes bytes and keeps their sha256 and number."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        self.sha256.update(data)
        self.size += len(data)


def everything(
    store: Store, trust: Trust, app: str, only: str | None = None, *, every: bool = False
) -> Iterator[Check]:
    """One version, or all logs and records of an app with the versions that its stages run, or `every` one.

    Raises NotFoundError if the store holds nothing of the app.
    """
    if only is not None:
        store.artifacts.get(app, only)
        yield version(store, trust, app, only)
        return
    names = store.artifacts.versions(app)
    if not names:
        raise NotFoundError(f"{store.name} holds no version of {app}", hint=Hint("{fapstore} list"))
    running: set[str] = set()
    for stage_name in store.stages.names(app):
        yield stage(store, trust, app, stage_name)
        yield releases(store, app, stage_name)
        with suppress(VerificationError, StoreError):  # the check of the stage tells it
            running |= {entry.state.version for entry in store.stages.history(app, stage_name)[-1:]}
    for name in names:
        if every or name in running:
            yield version(store, trust, app, name)


def lines(check: Check) -> Iterator[str]:
    """A check in words."""
    yield f"{'BAD' if check.problems else 'ok':<4}{check.what}{': ' * bool(check.said)}{check.said}"
    yield from (f"      problem: {problem}" for problem in check.problems)
    yield from (f"      note: {note}" for note in check.notes)


def version(store: Store, trust: Trust, app: str, name: str) -> Check:
    """Read all bytes of a version, and its signatures. Raises UnreachableError."""
    what = f"{app} {name}"
    try:
        record = store.artifacts.get(app, name)
        stored = _Bytes()
        store.artifacts.read(record, stored)
    except UnreachableError:
        raise
    except FapError as error:
        if isinstance(error, NotFoundError) and (removed := store.artifacts.removal(app, name)):
            return Check(what, f"removed by gc of {removed.by.who} at {removed.by.at:%Y-%m-%d %H:%M} UTC")
        return Check(what, "", (error.message,))
    problems: list[str] = []
    digest, size = stored.sha256.hexdigest(), stored.size
    if (digest, size) != (record.digest, record.size):
        problems.append(f"its bytes have sha256 {digest} ({size} bytes), not {record.digest} ({record.size})")
    said = f"{text.size(size)}, sha256 is {'wrong' if problems else 'right'}"
    if trust.signers is None:
        return Check(what, said, tuple(problems), ("signatures are not checked: no signers are named",))
    found = tuple(store.notary.signatures(record))
    by = sorted({signature.by for signature in found if signature.by})
    if by:
        said += f", signed by {' and '.join(by)}"
    elif trust.policy.require_signatures:
        problems.append("no valid signature")
    notes = [f"{signature.key}: {signature.problem}" for signature in found if signature.problem]
    return Check(what, said, tuple(problems), tuple(notes))


def stage(store: Store, trust: Trust, app: str, name: str) -> Check:
    """Read a stage's whole log: its chain, its signatures, and what it says of digests."""
    what = f"{app} {name}"
    try:
        entries = store.stages.history(app, name)
    except UnreachableError:
        raise
    except FapError as error:
        return Check(what, "", (error.message,))
    problems = [problem for entry in entries if (problem := _digest_problem(store, entry))]
    last = entries[-1].state if entries else None
    if last and not last.is_empty and store.artifacts.removal(app, last.version):
        problems.append(f"it should run {last.version}, which gc removed: promote another version")
    notes = list(_rules(entries, trust.policy_digest))
    if trust.signers:
        signed = [bool(by) for by in store.notary.all_signed_by(entries)]
        unsigned = [entry.state.number for entry, good in zip(entries, signed, strict=True) if not good]
        # a log may begin before there were signatures; an unsigned entry after a signed one may be forged
        first = signed.index(True) if True in signed else len(signed)
        early, late = [n for n in unsigned if n <= first], [n for n in unsigned if n > first]
        if early:
            notes.append(f"{_numbers(early)} from before the first valid signature")
        if late or (trust.policy.require_signatures and entries and not signed[-1]):
            problems.append(f"{_numbers(late or unsigned[-1:])} without a valid signature")
    return Check(
        what,
        f"{text.count(len(entries), 'entry', 'entries')}, each names the one before",
        tuple(problems),
        tuple(notes),
    )


def releases(store: Store, app: str, stage_name: str) -> Check:
    """Read the release records of a stage and hold them against its log and the artifacts."""
    what = f"{app} {stage_name} releases"
    try:
        records = store.records.releases(app, stage_name)
        states = {entry.state.number: entry.state for entry in store.stages.history(app, stage_name)}
    except UnreachableError:
        raise
    except FapError as error:
        return Check(what, "", (error.message,))
    problems = []
    for record in records:
        state = states.get(record.entry)
        if record.entry and (state is None or state.digest != record.digest):
            stated = f"{state.version} ({state.digest[:12]})" if state else "nothing"
            problems.append(
                f"{record.role} {record.release} says that {record.version} ({record.digest[:12]}) "
                f"was released by entry {record.entry}, which names {stated}"
            )
    return Check(what, text.count(len(records), "record", "records"), tuple(problems))


def _digest_problem(store: Store, entry: LogEntry) -> str:
    state = entry.state
    if state.is_empty:
        return ""
    try:
        record: ArtifactRecord = store.artifacts.get(state.app, state.version)
    except NotFoundError:
        return f"entry {state.number} names {state.version}, which is not stored"
    if record.digest != state.digest:
        return f"entry {state.number} says {state.version} is {state.digest}, its record {record.digest}"
    return ""


def _rules(entries: Iterable[LogEntry], today: str) -> Iterator[str]:
    states = [entry.state for entry in entries]
    without = [state.number for state in states if not state.policy]
    if today and without:
        yield f"{_numbers(without)} made without rules"
    other = [state.number for state in states if state.policy and state.policy != today]
    if today and other:
        yield f"{_numbers(other)} made by other rules than today's"
    for state in states:
        if state.overrode:
            yield (
                f"entry {state.number}: {state.who} overrode {', '.join(state.overrode)} "
                f"for {state.version}: {state.reason}"
            )


def _numbers(numbers: list[int]) -> str:
    """Ascending numbers in words: `entries 1-3, 7`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    words = ", ".join("-".join(map(str, span)) for span in spans)
    return f"{'entry' if len(numbers) == 1 else 'entries'} {words}"

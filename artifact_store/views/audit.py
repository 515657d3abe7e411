"""Audit a store: bytes, signatures, logs and release records.

Everything is read again and nothing is written. A problem can't be caused by fapkit itself; a note is merely
worth knowing for an auditor.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import pairwise

from artifact_store.core import text
from artifact_store.core.errors import (
    FapError,
    NotFoundError,
    StoreError,
    UnreachableError,
    UsageError,
    VerificationError,
)
from artifact_store.core.hints import Hint
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.stages.log_rules import MOST_BEHIND, LogEntry, problem_after
from artifact_store.stages.policy import Refusal
from artifact_store.store.store import Store
from artifact_store.trust.rules import Trust

_THREADS = 4


@dataclass(frozen=True)
class Check:
    """A check of one object, with its result, problems and notes."""

    what: str
    result: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def everything(
    store: Store, trust: Trust, app: str, only: str | None = None, *, every: bool = False
) -> Iterator[Check]:
    """Check the version `only`; or an app's logs, records and versions: those on stages, or `every` one.

    Raises NotFoundError if the store contains no version of the app.
    """
    if only is not None:
        store.artifacts.get(app, only)
        yield version(store, trust, app, only)
        return
    stage_names = store.stages.names(app)
    names = store.artifacts.versions(app) if every or not stage_names else ()
    if not names and not stage_names:
        raise NotFoundError(f"{store.name} contains no version of {app}", hint=Hint("{fapstore} list"))
    running: set[str] = set()
    for stage_name in stage_names:
        entries = _entries(store, app, stage_name)
        if isinstance(entries, Check):
            yield entries
            continue
        yield _log(store, trust, app, stage_name, entries)
        yield releases(store, app, stage_name, entries)
        running |= {entry.state.version for entry in entries[-1:]} - {""}
    with ThreadPoolExecutor(_THREADS) as pool:
        yield from pool.map(partial(version, store, trust, app), names if every else sorted(running))


def lines(check: Check) -> Iterator[str]:
    """A check as lines for people."""
    yield f"{'BAD' if check.problems else 'ok':<4}{check.what}{': ' * bool(check.result)}{check.result}"
    yield from (f"      problem: {problem}" for problem in check.problems)
    yield from (f"      note: {note}" for note in check.notes)


def version(store: Store, trust: Trust, app: str, name: str) -> Check:
    """Check all bytes and signatures of a version. Raises UnreachableError."""
    what = f"{app} {name}"
    try:
        record = store.artifacts.get(app, name)
        problems = list(_damage(store, record))
    except UnreachableError:
        raise
    except FapError as error:
        if isinstance(error, NotFoundError) and (removal := store.artifacts.removal(app, name)):
            return Check(what, f"removed with gc by {removal.by.who} at {removal.by.at:%Y-%m-%d %H:%M} UTC")
        return Check(what, "", (error.message,))
    result = f"{text.size(record.size)}, bytes {'wrong' if problems else 'ok'}"
    if trust.signers is None:
        return Check(what, result, tuple(problems), ("signatures not checked: no allowed signers are known",))
    signatures = tuple(store.notary.signatures(record))
    by = sorted({signature.by for signature in signatures if signature.by})
    if by:
        result += f", signed by {' and '.join(by)}"
    elif trust.policy.require_signatures:
        problems.append("no valid signature")
    notes = [f"{signature.key}: {signature.problem}" for signature in signatures if signature.problem]
    return Check(what, result, tuple(problems), tuple(notes))


def _damage(store: Store, record: ArtifactRecord) -> Iterator[str]:
    """The difference between the stored bytes and the artifact that the record names."""
    try:
        store.artifacts.check(record)
    except VerificationError as error:
        yield error.message


def stage(store: Store, trust: Trust, app: str, name: str) -> Check:
    """Check the log of a stage: its chain, signatures and digests."""
    entries = _entries(store, app, name)
    return entries if isinstance(entries, Check) else _log(store, trust, app, name, entries)


def _entries(store: Store, app: str, name: str) -> Sequence[LogEntry] | Check:
    """The entries of a stage's log, whose chain is right; or else the check that failed."""
    try:
        return store.stages.history(app, name)
    except UnreachableError:
        raise
    except FapError as error:
        return Check(f"{app} {name}", "", (error.message,))


def _log(store: Store, trust: Trust, app: str, name: str, entries: Sequence[LogEntry]) -> Check:
    what = f"{app} {name}"
    versions = {entry.state.version: None for entry in entries if not entry.state.is_empty}
    records = {record.version: record for record in store.artifacts.records(app, versions)}
    problems = [problem for entry in entries if (problem := _digest_problem(store, entry, records))]
    last = entries[-1].state if entries else None
    if last and not last.is_empty:
        problems += _gone(store, app, last.version)
    if last and last.is_expired(store.clock()):
        problems.append(f"entry {last.number} expired at {last.expires:%Y-%m-%d %H:%M} UTC")
    notes = list(_rules(entries, trust.policy_digest))
    notes += [
        f"entry {number} is missing, so readers over https see no entry above it"
        for number in store.stages.log(app, name).gaps()
    ]
    problems += store.stages.passed_over(app, name)
    problems += store.stages.overwritten(app, name, entries)
    counted = list(entries)
    if trust.signers:
        problems += _claimed_approvals(store, entries, records)
        signed = [bool(by) for by in store.notary.all_signed_by(entries)]
        if trust.policy.require_signatures:
            counted = [entry for entry, valid in zip(entries, signed, strict=True) if valid]
        unsigned = [entry.state.number for entry, valid in zip(entries, signed, strict=True) if not valid]
        # a log may start without signatures, but an unsigned entry after a signed one may be forged
        first = signed.index(True) if True in signed else len(signed)
        early, late = [n for n in unsigned if n <= first], [n for n in unsigned if n > first]
        if early:
            notes.append(f"{_numbers(early)} before the first valid signature")
        if late or (trust.policy.require_signatures and entries and not signed[-1]):
            problems.append(f"{_numbers(late or unsigned[-1:])} without a valid signature")
    problems += _of_the_future(counted, store.clock())
    problems += _withdrawn(store, entries, records)
    if last and not last.is_empty and (record := records.get(last.version)):
        overrode = {rule for one in entries if one.state.digest == last.digest for rule in one.state.overrode}
        problems += _refused_by_rules(store, record, name, overrode)
    if trust.policy_digest:
        problems += _claimed_rules(store, name, entries[:-1], records, trust.policy_digest)
    problems += filter(None, (problem_after(one.state, next_.state) for one, next_ in pairwise(counted)))
    return Check(
        what,
        f"{text.count(len(entries), 'entry', 'entries')}, chain ok",
        tuple(problems),
        tuple(notes),
    )


def releases(store: Store, app: str, stage_name: str, entries: Sequence[LogEntry]) -> Check:
    """Check the release records of a stage against its log."""
    what = f"{app} {stage_name} releases"
    try:
        records = store.records.releases(app, stage_name)
    except UnreachableError:
        raise
    except FapError as error:
        return Check(what, "", (error.message,))
    states = {entry.state.number: entry.state for entry in entries}
    problems = []
    for record in records:
        state = states.get(record.entry)
        if record.entry and (state is None or state.digest != record.digest):
            stated = f"names {state.version} ({state.digest[:12]})" if state else "does not exist"
            problems.append(
                f"{record.role} {record.release} released {record.version} ({record.digest[:12]}) "
                f"for entry {record.entry}, but that entry {stated}"
            )
    return Check(what, text.count(len(records), "record", "records"), tuple(problems))


def _digest_problem(store: Store, entry: LogEntry, records: Mapping[str, ArtifactRecord]) -> str:
    state = entry.state
    if state.is_empty:
        return ""
    if (record := records.get(state.version)) is None:
        try:
            record = store.artifacts.get(state.app, state.version)
        except NotFoundError:
            return f"entry {state.number} names {state.version}, which is not in the store"
        except VerificationError as error:
            return f"entry {state.number} names {state.version}: {error.message}"
    if record.digest != state.digest:
        return (
            f"entry {state.number}: {state.version} has the sha256 {state.digest}, "
            f"but its record says {record.digest}"
        )
    return ""


def _gone(store: Store, app: str, version: str) -> Iterator[str]:
    """What gc did, or may do, to the version that a stage has."""
    try:
        removal = store.artifacts.removal(app, version)
        store.artifacts.present(app, version)
    except NotFoundError:
        return
    except StoreError:
        if removal:
            yield f"gc removed its version {version}: promote another one"
        return
    if removal:
        yield f"a gc is removing its version {version}, or was killed: fapstore gc {app} --take-back"


def _withdrawn(
    store: Store, entries: Sequence[LogEntry], records: Mapping[str, ArtifactRecord]
) -> Iterator[str]:
    """The withdrawal of the version that a stage has, unless it was put there in spite of it."""
    last = entries[-1].state if entries else None
    record = records.get(last.version) if last else None
    if not last or not record:
        return
    overridden = any(
        "withdrawn" in entry.state.overrode for entry in entries if entry.state.digest == last.digest
    )
    if not overridden and (withdrawal := store.artifacts.withdrawal(record)):
        yield (
            f"its version {last.version} was withdrawn by {withdrawal.who}: {withdrawal.why}; "
            "promote another one"
        )


def _of_the_future(entries: Iterable[LogEntry], now: datetime) -> Iterator[str]:
    for state in (entry.state for entry in entries):
        if state.at > now + MOST_BEHIND:
            yield f"entry {state.number} is dated {state.at:%Y-%m-%d %H:%M} UTC, which is in the future"


def _claimed_approvals(
    store: Store, entries: Iterable[LogEntry], records: Mapping[str, ArtifactRecord]
) -> Iterator[str]:
    """The approvals that entries name, and that nobody signed."""
    signed: dict[str, tuple[str, ...]] = {}
    for state in (entry.state for entry in entries):
        record = records.get(state.version)
        if not state.approved_by or record is None:  # a missing record is a problem of its own
            continue
        if state.version not in signed:
            signed[state.version] = store.notary.approved_by(record, state.stage)
        if missing := [name for name in state.approved_by if name not in signed[state.version]]:
            yield (
                f"entry {state.number} names an approval of {state.version} by {' and '.join(missing)}, "
                "and there is none with a valid signature"
            )


def _refused_by_rules(
    store: Store, record: ArtifactRecord, name: str, overrode: Container[str]
) -> Iterator[str]:
    """What the rules miss for a version, and nobody overrode to put it on the stage."""
    with suppress(UsageError):  # a stage that the rules do not name
        (all_refusals,) = store.stages.refusals([record], name)
        refusals = [each for each in all_refusals if each.rule not in overrode]
        if refusals:
            yield (
                f"the rules do not allow {record.app} {record.version} on {name}: "
                + "; ".join(each.message for each in refusals)
            )


def _claimed_rules(
    store: Store, name: str, entries: Iterable[LogEntry], records: Mapping[str, ArtifactRecord], digest: str
) -> Iterator[str]:
    """Promotions by the rules in force that these do not allow, and that state no override of them."""
    states = [
        entry.state
        for entry in entries
        if entry.state.action == "promote" and entry.state.policy == digest and entry.state.version in records
    ]
    versions = list(dict.fromkeys(state.version for state in states))
    refusals: dict[str, tuple[Refusal, ...]] = {}
    with suppress(UsageError):  # a stage that the rules do not name
        judged = store.stages.refusals((records[version] for version in versions), name)
        refusals = dict(zip(versions, judged, strict=True))
    for state in states:
        hidden = [each for each in refusals.get(state.version, ()) if each.rule not in state.overrode]
        if hidden:
            yield (
                f"entry {state.number} says that the rules allowed {state.version}, and they do not: "
                + "; ".join(each.message for each in hidden)
            )


def _rules(entries: Iterable[LogEntry], current: str) -> Iterator[str]:
    states = [entry.state for entry in entries]
    without = [state.number for state in states if not state.policy]
    if current and without:
        yield f"{_numbers(without)} written without rules"
    other = [state.number for state in states if state.policy and state.policy != current]
    if current and other:
        yield f"{_numbers(other)} written with other rules than the current ones"
    for state in states:
        if state.after:
            yield (
                f"entry {state.number}: what lies after entry {state.after} can't be read, and is passed over"
            )
        if state.overrode:
            yield (
                f"entry {state.number}: {state.who} overrode {', '.join(state.overrode)} "
                f"for {state.version}: {state.reason}"
            )


def _numbers(numbers: list[int]) -> str:
    """Ascending numbers as text: `entries 1-3, 7`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1] = [spans[-1][0], number]
        else:
            spans.append([number])
    words = ", ".join("-".join(map(str, span)) for span in spans)
    return f"{'entry' if len(numbers) == 1 else 'entries'} {words}"

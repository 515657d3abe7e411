"""The statements of a stage's log: their formats, their times and the origin that they repeat."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.actor import Actor, Stamp
from artifact_store.core.errors import NotFoundError, StoreError, UsageError, VerificationError
from artifact_store.records.envelope import seal
from artifact_store.stages import log_rules
from artifact_store.stages.log_rules import (
    MOST_BEHIND,
    STATEMENT_1,
    STATEMENT_2,
    Action,
    LogEntry,
    StageRequest,
    StageState,
    problem_after,
)
from artifact_store.store.store import Store
from tests.parts.tgz import tgz

AT = datetime(2026, 11, 22, 18, 54, 9, tzinfo=UTC)
WRITTEN_BY_0_1_0: dict[str, Any] = {
    "app": "shop",
    "stage": "production",
    "number": 1,
    "action": "promote",
    "version": "1",
    "digest": "a" * 64,
    "frozen": False,
    "source": "",
    "who": "ann",
    "why": "",
    "at": "2026-11-22T18:54:09Z",
    "operation": "first",
    "previous": "",
    "ci": "",
    "policy": "",
    "overrode": [],
    "reason": "",
    "approved_by": [],
    "signature": "",
}
"""A statement 1, as fapkit 0.1.0 wrote it."""


def entry(statement: dict[str, Any]) -> LogEntry:
    data = seal(json.dumps(statement).encode())
    return log_rules.decode(data, "shop", "production", statement["number"])


def promoted(version: str, at: datetime = AT, operation: str = "op") -> StageRequest:
    digest = hashlib.sha256(version.encode()).hexdigest()
    by = Stamp(who="ann", at=at, ci="", operation=operation)
    return StageRequest(action="promote", version=version, digest=digest, why="", by=by)


def appended(log: list[LogEntry], request: StageRequest) -> list[LogEntry]:
    state = log_rules.decide(log[-1] if log else None, "shop", "production", request)
    return [*log, log_rules.decode(log_rules.encode(state), "shop", "production", len(log) + 1)]


def problems(log: list[LogEntry]) -> list[str]:
    """What is wrong with a log, as its readers see it."""
    try:
        log_rules.check_chain(log)
    except VerificationError as error:
        return [error.message]
    return [
        problem for before, after in pairwise(log) if (problem := problem_after(before.state, after.state))
    ]


def test_statement_1_is_read_and_the_first_statement_2_goes_on_from_it() -> None:
    first = entry(WRITTEN_BY_0_1_0)
    assert (first.state.format, first.state.origin) == (STATEMENT_1, "")
    log = appended([first], promoted("2", operation="second"))
    log = appended(log, promoted("3", operation="third"))
    assert [each.state.format for each in log] == [STATEMENT_1, STATEMENT_2, STATEMENT_2]
    assert [each.state.origin for each in log] == ["", "second", "second"]
    assert log[1].state.previous == first.sha256
    assert problems(log) == []


def test_a_log_does_not_go_back_to_statement_1() -> None:
    log = appended([], promoted("1"))
    older = entry({**WRITTEN_BY_0_1_0, "number": 2, "previous": log[0].sha256})
    assert problems([*log, older]) == [
        "entry 2 of shop production is a fapkit-stage/1 after a fapkit-stage/2: "
        "an older fapkit or an intruder wrote it"
    ]


@pytest.mark.parametrize("format_", ["fapkit-stage/3", "fapkit-stage/", "", "other/2"])
def test_a_log_of_a_newer_fapkit_is_refused(format_: str) -> None:
    with pytest.raises(VerificationError, match="this log was written by a newer fapkit") as error:
        entry({**WRITTEN_BY_0_1_0, "format": format_, "at": {"the time": "of a form that is not known"}})
    assert error.value.exit_code == 6
    assert error.value.hint.startswith("upgrade fapkit here")


def test_a_field_that_is_not_known_is_ignored() -> None:
    known = {**WRITTEN_BY_0_1_0, "format": STATEMENT_2, "origin": "first"}
    assert entry({**known, "witnesses": ["bob"]}).state == entry(known).state


@pytest.mark.parametrize(
    "wrong",
    [
        {"at": "2026-11-22T18:54:09"},
        {"at": "2026-11-22T18:54:09+01:00"},
        {"at": "0001-01-01T00:00:00+14:00"},
        {"expires": "2026-11-22T18:54:09"},
        {"expires": "9999-12-31T23:59:59-12:00"},
        {"origin": ""},
        {"origin": "a b"},
        {"root": "no digest"},
        {"index": "A" * 64},
        {"format": 2},
    ],
)
def test_values_of_statement_2_that_can_not_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(VerificationError, match="entry 1 of shop production"):
        entry({**WRITTEN_BY_0_1_0, "format": STATEMENT_2, "origin": "first", **wrong})


def test_a_writer_whose_clock_is_behind_writes_the_time_before() -> None:
    log = appended([], promoted("1"))
    assert appended(log, promoted("2", AT - MOST_BEHIND))[-1].state.at == AT
    with pytest.raises(StoreError, match="times in a log never run backwards") as error:
        appended(log, promoted("2", AT - MOST_BEHIND - timedelta(seconds=1)))
    assert "entry 1 of shop production is of 2026-11-22 18:54 UTC" in error.value.message
    assert "this machine's clock says 2026-11-22 17:54 UTC" in error.value.message
    assert error.value.hint == "set this clock; if that of ann was wrong: promote with --override REASON"


def test_a_reason_leads_past_a_clock_that_was_in_the_future() -> None:
    log = appended([], promoted("1", AT + timedelta(days=400)))
    state = log_rules.decide(log[-1], "shop", "production", promoted("2"), override=True)
    assert (state.version, state.at) == ("2", log[-1].state.at)


def test_an_entry_of_the_last_day_that_can_be_written_stops_no_rollback() -> None:
    log = appended([], promoted("1", datetime(9999, 12, 31, tzinfo=UTC)))
    back = replace(promoted("2"), action="rollback")
    state = log_rules.decide(log[-1], "shop", "production", back, max_age=timedelta(days=14))
    assert state.expires == datetime.max.replace(tzinfo=UTC)
    assert again(state).state == state


@pytest.mark.parametrize("action", ["rollback", "freeze"])
def test_a_clock_that_is_far_behind_stops_no_emergency(action: Action) -> None:
    log = appended(appended([], promoted("1")), promoted("2"))
    state = log[0].state
    late = promoted("1", AT - timedelta(days=400))
    change = replace(
        late,
        action=action,
        version=state.version if action == "rollback" else "",
        digest=state.digest if action == "rollback" else "",
    )
    assert appended(log, change)[-1].state.at == log[-1].state.at


def test_what_an_ignored_entry_states_is_not_taken_over() -> None:
    log = appended([], promoted("1", operation="first"))
    forged = msgspec.structs.replace(
        log[0].state, number=2, at=AT + timedelta(days=9000), origin="forged", previous=log[0].sha256
    )
    last = log_rules.decode(log_rules.encode(forged), "shop", "production", 2)
    state = log_rules.decide(log[0], "shop", "production", promoted("2"), last=last)
    assert (state.number, state.previous, state.at, state.origin) == (3, last.sha256, AT, "first")


def test_an_entry_expires_as_the_one_before_it_unless_more_is_said() -> None:
    fortnight, week, never = timedelta(days=14), timedelta(days=7), timedelta(0)
    log: list[LogEntry] = []
    for number, (lifetime, rule, lives) in enumerate(
        (
            (None, None, None),
            (fortnight, None, fortnight),
            (None, None, fortnight),
            (None, week, week),
            (timedelta(days=1), week, timedelta(days=1)),
            (never, None, None),
            (None, None, None),
        )
    ):
        at = AT + timedelta(hours=number)
        request = replace(promoted(str(number), at), lifetime=lifetime)
        state = log_rules.decide(log[-1] if log else None, "shop", "production", request, max_age=rule)
        assert state.expires == (at + lives if lives else None)
        log.append(again(state))
    for too_long in (never, timedelta(days=8)):
        request = replace(promoted("9", AT + timedelta(days=1)), lifetime=too_long)
        with pytest.raises(UsageError, match="entries of production expire after 7 days at most"):
            log_rules.decide(log[-1], "shop", "production", request, max_age=week)


def test_a_renewal_changes_nothing_but_the_expiry() -> None:
    day = timedelta(days=1)
    first = log_rules.decide(None, "shop", "production", replace(promoted("1"), lifetime=day))
    first = msgspec.structs.replace(first, root="a" * 64, index="b" * 64, signature="c" * 64)
    renewal = StageRequest(
        action="renew", why="", by=Stamp(who="ci", at=AT + day, ci="", operation="renewal")
    )
    state = log_rules.decide(again(first), "shop", "production", renewal)
    changed = {name for name in state.__struct_fields__ if getattr(state, name) != getattr(first, name)}
    assert changed == {"number", "action", "who", "at", "expires", "operation", "previous"}
    assert (state.at, state.expires) == (AT + day, AT + 2 * day)
    assert log_rules.version_before([state, first]) is None


def test_a_frozen_stage_stays_frozen_when_it_is_renewed() -> None:
    log = appended([], replace(promoted("1"), lifetime=timedelta(days=1)))
    by = Stamp(who="bob", at=AT, ci="", operation="freeze")
    log = appended(log, StageRequest(action="freeze", why="sale", by=by))
    by_ci = msgspec.structs.replace(by, who="ci")
    log = appended(log, StageRequest(action="renew", why="", by=by_ci))
    assert (log[-1].state.frozen, log[-1].state.why) == (True, "sale")
    with pytest.raises(StoreError, match="production is frozen: sale"):
        appended(log, promoted("2"))


def test_there_is_nothing_to_renew() -> None:
    renewal = StageRequest(action="renew", why="", by=Stamp(who="ci", at=AT, ci="", operation="renewal"))
    with pytest.raises(NotFoundError, match="has no version yet"):
        log_rules.decide(None, "shop", "production", renewal)
    with pytest.raises(UsageError, match="does not expire, so there is nothing to renew"):
        log_rules.decide(appended([], promoted("1"))[-1], "shop", "production", renewal)


clocks = st.lists(st.integers(-3600, 86400), min_size=1, max_size=8)


def log_of(steps: list[int], operation: str = "log", *, begins_with_1: bool = False) -> list[LogEntry]:
    """A log whose writers' clocks were some seconds behind or ahead of the entry before."""
    log = [entry(WRITTEN_BY_0_1_0)] if begins_with_1 else []
    for number, step in enumerate(steps):
        at = (log[-1].state.at if log else AT) + timedelta(seconds=step)
        log = appended(log, promoted(f"{number}-{operation}", at, f"{operation}-{number}"))
    return log


@settings(max_examples=100, deadline=None)
@given(clocks, st.booleans())
def test_whatever_the_clocks_say_a_log_holds(steps: list[int], begins_with_1: bool) -> None:
    log = log_of(steps, begins_with_1=begins_with_1)
    assert problems(log) == []
    times = [each.state.at for each in log]
    assert times == sorted(times)
    assert len({each.state.origin for each in log if each.state.format == STATEMENT_2}) == 1


@settings(max_examples=100, deadline=None)
@given(clocks.filter(lambda steps: len(steps) > 1), st.data())
def test_an_entry_is_worth_nothing_at_another_place_or_number(steps: list[int], data: st.DataObject) -> None:
    log = log_of(steps)
    numbers = st.integers(1, len(log))
    copied = data.draw(numbers)
    to = data.draw(numbers.filter(lambda number: number != copied))
    sealed = seal(bytes(log[copied - 1].sealed.statement))
    for place in (("shop", "production", to), ("shop", "staging", copied), ("blog", "production", copied)):
        with pytest.raises(VerificationError, match=f"belongs to entry {copied} of shop production"):
            log_rules.decode(sealed, *place)


@settings(max_examples=100, deadline=None)
@given(clocks.filter(lambda steps: len(steps) > 1), st.data())
def test_an_entry_of_another_log_of_the_same_stage_is_seen(steps: list[int], data: st.DataObject) -> None:
    log, other = log_of(steps), log_of(steps, "other")
    number = data.draw(st.integers(1, len(log)))
    assert problems([*log[: number - 1], other[number - 1], *log[number:]])
    swapped = msgspec.structs.replace(
        other[-1].state, previous=log[-2].sha256, number=len(log), at=log[-1].state.at
    )
    assert problems([*log[:-1], again(swapped)]) == [
        f"entry {len(log)} of shop production belongs to another log, "
        "which began with other-0, not with log-0"
    ]


@settings(max_examples=100, deadline=None)
@given(clocks, st.integers(1, 10**9))
def test_an_entry_of_an_earlier_time_is_seen(steps: list[int], seconds: int) -> None:
    log = log_of([*steps, 0])
    backdated = msgspec.structs.replace(log[-1].state, at=log[-2].state.at - timedelta(seconds=seconds))
    assert problems([*log[:-1], again(backdated)]) == [
        f"entry {len(log)} of shop production says that it was made before entry {len(log) - 1}"
    ]


def again(state: StageState) -> LogEntry:
    return log_rules.decode(log_rules.encode(state), "shop", "production", state.number)


def test_a_renewal_goes_past_a_clock_of_the_future_with_a_reason(tmp_path: Path) -> None:
    blobs, now = MemoryBlobs(), AT
    store = Store(blobs, clock=lambda: now)
    for version in "12":
        store.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ann"))
    now = AT + timedelta(days=400)
    store.stages.promote("shop", "1", "production", Actor("bob"), lifetime=timedelta(days=1))
    now = AT
    with pytest.raises(StoreError, match="never run backwards") as error:
        store.stages.renew("shop", "production", Actor("ann"))
    assert error.value.hint.endswith("if that of bob was wrong: renew with --override REASON")
    renewed = store.stages.renew("shop", "production", Actor("ann"), override="bob's clock").state
    assert (renewed.number, renewed.overrode, renewed.reason) == (2, ("clock",), "bob's clock")
    promoted = store.stages.promote("shop", "2", "production", Actor("ann"), override="again").state
    assert (promoted.overrode, promoted.reason) == (("clock",), "again")

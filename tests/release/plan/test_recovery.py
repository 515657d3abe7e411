"""Batches, and what becomes of a rollout that was cut off: pure tables."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faprelease.errors import FapError
from faprelease.hosts.state import Record, Release, Rollout, State, Unpacked
from faprelease.plan.fleet import plan_recovery
from faprelease.plan.host import RunInfo
from faprelease.plan.recovery import batch_numbers, batches_of, recovery
from tests.parts.host_states import host_state, hosts

NEW = "261122-120000"
SIZES = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 100).map(lambda n: f"{n}%")), min_size=1)


@pytest.mark.parametrize(
    ("hosts", "sizes", "expected"),
    [
        (3, ["100%"], [3]),
        (3, [1], [1, 1, 1]),
        (3, ["2"], [2, 1]),
        (10, ["25%"], [2, 2, 2, 2, 2]),
        (20, [1, "25%", "100%"], [1, 5, 14]),
        (2, ["25%"], [1, 1]),
        (1, [5], [1]),
        (5, [1, 2], [1, 2, 2]),
    ],
)
def test_batches(hosts: int, sizes: list[int | str], expected: list[int]) -> None:
    numbers = batch_numbers(hosts, sizes)
    assert [numbers.count(number) for number in sorted(set(numbers))] == expected


@given(st.integers(1, 200), SIZES)
def test_every_host_is_in_one_batch_and_batches_follow_each_other(count: int, sizes: list[int | str]) -> None:
    numbers = batch_numbers(count, sizes)
    assert len(numbers) == count
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(max(numbers) + 1))


def test_roles_are_divided_by_themselves_and_go_together() -> None:
    found = hosts(*[host_state()] * 6, roles=("web", "worker"), more={"batch": ["1", "100%"]})
    assert batches_of(found) == [0, 1, 1, 0, 1, 1]


WEB = ("web1", "web2", "web3")


def rollout(passed: bool = False, ended: Any = "", release: str = NEW, verb: Any = "release") -> Rollout:
    names = tuple((name, "web") for name in WEB)
    return Rollout(id=NEW, verb=verb, release=release, hosts=names, passed=passed, ended=ended, by="ada")


OPEN, PASSED, FINISHED = rollout(), rollout(passed=True), rollout(passed=True, ended="finished")
UNDONE, KEPT = rollout(ended="undone"), rollout(ended="kept")


@pytest.mark.parametrize(
    ("found", "action", "published", "prepared"),
    [
        ((OPEN, None, None), "undo", "1", "23"),
        ((OPEN, OPEN, OPEN), "undo", "123", ""),
        ((PASSED, OPEN, None), "undo", "12", "3"),
        ((PASSED, PASSED, None), "undo", "12", "3"),
        ((PASSED, PASSED, PASSED), "finish", "123", ""),
        ((FINISHED, PASSED, PASSED), "finish", "23", ""),
        ((FINISHED, FINISHED, OPEN), "finish", "3", ""),
        ((UNDONE, PASSED, PASSED), "undo", "23", ""),
        ((UNDONE, OPEN, None), "undo", "2", "3"),
        ((FINISHED, FINISHED, FINISHED), None, "", ""),
        ((UNDONE, UNDONE, None), None, "", ""),
        ((FINISHED, KEPT, None), None, "", ""),
        ((None, None, None), None, "", ""),
    ],
)
def test_what_was_cut_off_is_finished_or_taken_back(
    found: tuple[Rollout | None, ...], action: str | None, published: str, prepared: str
) -> None:
    ready = Release(NEW, Record(state="ready"), None, True)
    left = recovery(hosts(*(host_state(ready, rollout=each) for each in found)))
    if action is None:
        assert left is None
        return
    assert left is not None
    assert left.action == action
    assert [host.target.host for host in left.published] == [f"web{number}" for number in published]
    assert [host.target.host for host in left.prepared] == [f"web{number}" for number in prepared]
    assert not left.absent


def test_hosts_that_are_not_looked_at_are_named() -> None:
    left = recovery(hosts(host_state(rollout=OPEN)))
    assert left is not None
    assert left.absent == [("web2", "web"), ("web3", "web")]


def test_a_rollback_that_was_cut_off_leaves_nothing_prepared() -> None:
    ready = Release(NEW, Record(state="ready"), None, True)
    cut_off = rollout(verb="rollback")
    left = recovery(hosts(host_state(ready, rollout=cut_off), host_state(ready), host_state(ready)))
    assert left is not None
    assert left.prepared == []


@pytest.mark.parametrize("state", ["failed", "preparing"])
def test_a_record_that_can_not_go_live_is_told_as_damaged(state: State) -> None:
    """A host may say anything: that is an error of its own, no fault of ours."""
    broken = Release(NEW, Record(state=state), Unpacked(digest="d1"), True)
    found = hosts(*[host_state(broken, current=NEW, rollout=PASSED)] * 3)
    left = recovery(found)
    assert left is not None
    info = RunInfo(who="ada", at=datetime(2026, 11, 22, tzinfo=UTC), token="token", key="5e" * 32)
    with pytest.raises(
        FapError, match=f"the record of {NEW} is damaged: .* {state} can't become live"
    ) as told:
        plan_recovery(found, info, left)
    assert f"{NEW}.jsonl" in told.value.hint

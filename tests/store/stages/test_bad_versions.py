"""Which versions a rollback removed: each entry says it, and for older entries the log does."""

import json
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.actor import Actor
from artifact_store.core.errors import PolicyViolationError
from artifact_store.records import keys
from artifact_store.stages.log_rules import Action, StageState, bad_versions
from artifact_store.store.store import Store
from tests.parts.tgz import tgz

ANN = Actor("ann")


def states(*steps: str) -> list[StageState]:
    """The states of a log as an older fapkit wrote it, newest first: `2`, or `back 1`."""
    log: list[StageState] = []
    for number, step in enumerate(steps, 1):
        action: Action = "rollback" if step.startswith("back") else "promote"
        log.append(msgspec.structs.replace(STATE, number=number, action=action, digest=step.split()[-1]))
    return log[::-1]


STATE = msgspec.convert(
    {
        "app": "shop",
        "stage": "production",
        "number": 1,
        "action": "promote",
        "version": "1",
        "digest": "1",
        "frozen": False,
        "source": "",
        "who": "ann",
        "why": "",
        "at": "2026-11-22T00:00:00Z",
        "operation": "op",
        "previous": "",
        "ci": "",
    },
    StageState,
)


@pytest.mark.parametrize(
    ("steps", "bad"),
    [
        (["1"], []),
        (["1", "2"], []),
        (["1", "2", "back 1"], ["2"]),
        (["1", "2", "back 1", "3"], ["2"]),
        (["1", "2", "3", "back 2", "back 1"], ["3", "2"]),
        (["1", "2", "back 1", "2"], []),
        (["1", "2", "back 1", "back 2"], ["1"]),
        (["1", "2", "back 1", "2", "back 1"], ["2"]),
    ],
)
def test_the_log_of_an_older_fapkit_shows_them(steps: list[str], bad: list[str]) -> None:
    assert list(bad_versions(states(*steps))) == bad


def test_no_entry_before_one_that_says_it_is_read() -> None:
    newest = msgspec.structs.replace(STATE, number=9, action="rollback", digest="8", bad=("7",))

    def log() -> Iterator[StageState]:
        yield newest
        raise AssertionError

    assert bad_versions(log()) == ("7",)


def test_what_gc_made_us_take_back_is_not_bad() -> None:
    first, second = states("1", "2")[::-1]
    back = msgspec.structs.replace(STATE, number=3, action="rollback", digest="1", operation="op-back")
    assert bad_versions([back, second, first]) == ()


def test_the_next_entry_above_older_ones_says_it_again(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    store = Store(blobs)
    for version in "123":
        store.artifacts.publish(tgz(tmp_path, version=version), by=ANN)
    store.stages.promote("shop", "1", "production", by=ANN)
    store.stages.promote("shop", "2", "production", by=ANN)
    store.stages.rollback("shop", "production", by=ANN)
    key = keys.entry("shop", "production", 3)
    envelope = json.loads(blobs.get(key))
    two = envelope["statement"].pop("bad")
    blobs.delete(key)
    blobs.create(key, json.dumps(envelope).encode())  # as an older fapkit writes it
    again = Store(blobs)
    with pytest.raises(PolicyViolationError, match="a rollback removed it"):
        again.stages.promote("shop", "2", "production", by=ANN)
    state = again.stages.promote("shop", "3", "production", by=ANN).state
    assert list(state.bad or ()) == two
    assert again.stages.freeze("shop", "production", by=ANN, why="x").state.bad == state.bad

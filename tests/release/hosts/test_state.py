"""The states of a release, and what may follow what."""

import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faprelease.errors import FapError
from faprelease.hosts.state import FOLLOWING, Record, State, parse
from tests.parts.site import Site, artifact

STATES = get_args(State)


def test_every_state_has_its_followers() -> None:
    assert set(FOLLOWING) == set(STATES)
    assert all(followers <= set(STATES) for followers in FOLLOWING.values())


@pytest.mark.parametrize(("before", "after"), [*itertools.product(STATES, STATES)])
def test_a_record_takes_only_what_may_follow(before: State, after: State) -> None:
    record = Record(state=before, previous="261101-000000", at="then")
    if after == before or after in FOLLOWING[before]:
        assert record.changed(after, "now") == Record(state=after, previous="261101-000000", at="now")
    else:
        with pytest.raises(ValueError, match=f"{before} can't become {after}"):
            record.changed(after, "now")


def test_what_was_never_published_never_goes_live() -> None:
    assert "live" not in FOLLOWING["failed"] | FOLLOWING["preparing"]


def test_releases_and_rollbacks_write_only_what_may_follow(site: Site, tmp_path: Path) -> None:
    site.release(artifact(tmp_path / "1", "1"))
    site.release(artifact(tmp_path / "2", "2"))
    site.rollback()
    with pytest.raises(FapError):
        site.release(artifact(tmp_path / "3", "3", {"install.sh": b"exit 3\n"}))
    site.configure("plugins: [tests.parts.plugins]\nfail_at: published\n")
    with pytest.raises(FapError):
        site.release(artifact(tmp_path / "4", "4"))
    histories = [
        tuple(json.loads(line)["state"] for line in path.read_text().split("\n") if line)
        for path in sorted((site.path / ".fap/releases").glob("*.jsonl"))
    ]
    assert histories == [
        ("preparing", "ready", "live", "retired", "live"),
        ("preparing", "ready", "live", "bad"),
        ("preparing", "failed"),
        ("preparing", "ready", "bad"),
    ]
    pairs = [pair for states in histories for pair in itertools.pairwise(states)]
    assert all(after in FOLLOWING[before] for before, after in pairs)


PROBED = "current 261101-000000\nfolder 261101-000000\nfree 1000\ntool curl\n"


def test_a_rollout_of_a_path_is_damaged() -> None:
    """What a host keeps becomes part of paths on it."""
    rollout = '{"id":"261101-000000","verb":"release","release":"../../../x","by":"ada"}'
    with pytest.raises(FapError, match="the record of the last rollout is damaged"):
        parse(f"{PROBED}rollout {rollout}\n")


@pytest.mark.parametrize("free", ["abc", "-1", "9" * 5000, "1e3", "१"])
def test_free_space_that_is_not_a_number_is_refused(free: str) -> None:
    with pytest.raises(FapError, match="can't be read: free"):
        parse(f"current \nfree {free}\n")


WORDS = st.sampled_from(
    ["current", "link", "folder", "record", "artifact", "free", "tool", "rollout", "command", "frozen", "key"]
)
VALUES = st.one_of(st.text(max_size=40), st.sampled_from(["261101-000000", '261101-000000 {"state":"live"}']))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
).map(json.dumps)


@given(st.lists(st.tuples(WORDS, st.one_of(VALUES, JSON)), max_size=8))
def test_any_answer_is_read_or_refused(lines: list[tuple[str, str]]) -> None:
    with suppress(FapError):
        parse("".join(f"{word} {value}\n" for word, value in lines))

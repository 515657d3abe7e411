"""The states of a release, and what may follow what."""

import itertools
import json
from pathlib import Path
from typing import get_args

import pytest

from faprelease.errors import FapError
from faprelease.hosts.state import FOLLOWING, Record, State
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

"""What a hostile host records: an id or a digest of it never becomes a path, and nothing is a traceback."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faprelease.errors import FapError
from faprelease.hosts.state import HostState, parse
from faprelease.views import history, host_report, status

ID = "261122-185409"
DEEP = "[" * 100_000
ROLLOUT = {"verb": "release", "id": ID, "release": ID}
OUTSIDE = [
    "../../../x",
    "/etc",
    "261122-185409/../x",
    "261122-185409\n",
    "x",
    "999999",
    "$(id)",
    "-rf",
    "²" * 6,
]


def line(word: str, value: Any) -> str:
    return f"free 1\n{word} {json.dumps(value)}\n"


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("key", ["release", "previous", "copy_of", "id"])
def test_a_rollout_names_releases_alone(key: str, path: str) -> None:
    assert parse(line("rollout", {**ROLLOUT, key: ID})).rollout
    with pytest.raises(FapError, match="the record of the last rollout is damaged"):
        parse(line("rollout", {**ROLLOUT, key: path}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("entry", -1),
        ("entry", 10**9),
        ("seen", 10**9),
        ("seen", "7"),
        ("foreign", "a\nb"),
        ("foreign", "a" * 5000),
    ],
)
def test_numbers_and_links_of_a_rollout_have_their_form(key: str, value: object) -> None:
    with pytest.raises(FapError, match="the record of the last rollout is damaged"):
        parse(line("rollout", {**ROLLOUT, key: value}))
    found = parse(
        line("rollout", {**ROLLOUT, "entry": 42, "seen": 99_999_999, "foreign": "/srv/old"})
    ).rollout
    assert found
    assert (found.entry, found.seen, found.foreign) == (42, 99_999_999, "/srv/old")


@pytest.mark.parametrize("path", OUTSIDE)
def test_so_do_records_of_releases_and_commands(path: str) -> None:
    with pytest.raises(FapError, match=f"the record of release {ID} is damaged"):
        parse(line(f"record {ID}", {"state": "live", "previous": path}))
    with pytest.raises(FapError, match="the record of the last release_command is damaged"):
        parse(line("command", {"release": path, "at": "", "by": ""}))
    assert parse(line(f"record {path!r}", {"state": "live"})).releases == ()


@pytest.mark.parametrize("digest", ["../../x", "a" * 65, "A" * 64, "", f"{'a' * 64}\n", "a/b"])
def test_a_digest_is_one(digest: str) -> None:
    with pytest.raises(FapError, match=f"the record of release {ID} is damaged"):
        parse(line(f"artifact {ID}", {"digest": digest}))
    with pytest.raises(FapError, match="release_command"):
        parse(line("command", {"release": ID, "at": "", "by": "", "artifact": {"digest": digest}}))
    text = json.dumps({"at": "", "event": "released", "artifact": {"digest": digest}})
    assert history.parse(text) == []


@pytest.mark.parametrize("word", ["rollout", f"record {ID}", f"artifact {ID}", "command"])
@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        '{"x": ' + DEEP,
        "[]",
        "5",
        "null",
        '{"verb": {}, "release": {}, "state": {}}',
        "9" * 5000,
        '"\\ud800"',
    ],
)
def test_damaged_ones_are_a_failure_of_that_host(word: str, text: str) -> None:
    with pytest.raises(FapError, match="is damaged") as refused:
        parse(f"free 1\n{word} {text}\n")
    assert refused.value.hint


@given(st.text(alphabet='\n {}[]":,019az/.-²', max_size=200), st.sampled_from(range(5)))
def test_no_output_of_a_host_is_a_traceback(text: str, which: int) -> None:
    words = ("rollout", "command", f"record {ID}", "free", "port", "stale", "restarted", "time", "contained")
    readers = (parse, status.parse_sizes, host_report.parse, host_report.parse_changed, history.parse)
    for word in ("", *words):
        with suppress(*([FapError] if which == 0 else [])):
            readers[which](f"free 1\n{word} {text}")


def test_long_numbers_of_a_host_are_left_out() -> None:
    assert status.parse_sizes(f"{'9' * 5000} {ID}\n12 {ID}\nx y\n") == {ID: 12 * 1024}
    report = host_report.parse(f"port {'9' * 5000} a\nstale a ²\nrestarted ² ²\ntime {'1' * 4400}")
    assert (report.port, report.stale, report.restarted, report.time) == (None, (), None, 0)


def test_an_honest_state_is_read() -> None:
    found = parse(line(f"record {ID}", {"state": "live", "previous": "20261122185409"}))
    assert isinstance(found, HostState)
    assert found.releases[0].record.previous == "20261122185409"

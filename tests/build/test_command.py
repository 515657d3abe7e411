"""The one module that runs programs: their environment, and errors that help people."""

import os
import sys
import time
from pathlib import Path

import pytest

from artifact_store.core.errors import FapError
from fapbuild.command import in_parallel, run, stream


def test_output_comes_back_and_the_environment_is_steady(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE")
    monkeypatch.setenv("MINE", "1")
    script = ["sh", "-c", "echo $LC_ALL $TZ $MINE $MORE; umask; cat; pwd"]
    out = run(script, cwd=tmp_path, env={"MORE": "2"}, stdin=b"in\n")
    assert out.decode() == f"C.UTF-8 UTC 1 2\n0022\nin\n{tmp_path}\n"


def test_a_clean_environment_is_what_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    out = run(["/usr/bin/env"], cwd=tmp_path, env={"MORE": "2"}, clean=True)
    assert sorted(out.decode().split()) == ["LC_ALL=C.UTF-8", "MORE=2", "TZ=UTC"]


def test_output_can_go_to_a_file(tmp_path: Path) -> None:
    assert run(["echo", "x"], cwd=tmp_path, stdout=tmp_path / "out") == b""
    assert (tmp_path / "out").read_text() == "x\n"


def test_a_failure_shows_the_first_and_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(FapError) as caught:
        run(["sh", "-c", "seq 50; echo why >&2; exit 7"], cwd=tmp_path, hint="try this")
    lines = caught.value.message.splitlines()
    assert lines[0].endswith("failed with exit code 7")
    assert lines[1:9] == [f"  {number}" for number in range(1, 9)]
    assert lines[9:] == ["  …", *(f"  {number}" for number in range(12, 51)), "  why"]
    assert caught.value.hint == "try this"


def test_a_killed_program_says_so(tmp_path: Path) -> None:
    with pytest.raises(FapError, match="was killed by signal 9"):
        run(["sh", "-c", "kill -9 $$"], cwd=tmp_path)


def test_a_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(FapError, match="-m no_such_module failed"):
        run([sys.executable, "-m", "no_such_module"], cwd=tmp_path)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FapError) as caught:
        run(["no-such-program"], cwd=tmp_path)
    assert caught.value.hint == "install no-such-program"


def test_lines_are_heard_as_they_come_with_no_variables_but_those_given(tmp_path: Path) -> None:
    heard: list[tuple[str, float]] = []
    line = "printf 'a\\377\\nb'; echo $MINE$HOME >&2; sleep 0.5; seq 2 | cat"
    stream(line, cwd=tmp_path, env={"MINE": "1"}, on_line=lambda said: heard.append((said, time.monotonic())))
    assert [said for said, _ in heard] == ["a\N{REPLACEMENT CHARACTER}", "b1", "1", "2"]
    assert heard[-1][1] - heard[0][1] > 0.4


def test_a_line_without_an_end_is_heard_in_pieces(tmp_path: Path) -> None:
    heard: list[str] = []
    stream("head -c 10000 /dev/zero | tr '\\0' x", cwd=tmp_path, env={}, on_line=heard.append)
    assert [len(said) for said in heard] == [4096, 4096, 1808]


def test_what_a_line_leaves_running_is_stopped(tmp_path: Path) -> None:
    start = time.monotonic()
    stream("sleep 100 & echo started", cwd=tmp_path, env={}, on_line=[].append)
    assert time.monotonic() - start < 50


def test_an_error_beside_them_stops_all_that_run_or_begin(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"]}
    with pytest.raises(ValueError, match="elsewhere"), in_parallel(2) as jobs:  # noqa: PT012
        long = [
            jobs.submit(stream, "sleep 100", cwd=tmp_path, env=env, on_line=[].append),
            *(jobs.submit(run, ["sleep", "100"], cwd=tmp_path) for _ in range(2)),
        ]
        raise ValueError("elsewhere")
    told = [str(one.exception()).partition(" was killed")[::2] for one in long]
    assert told == [("'sleep 100'", " by signal 15"), *[("sleep 100", " by signal 15")] * 2]
    assert run(["echo", "on"], cwd=tmp_path) == b"on\n"


def test_a_line_of_a_thousand_versions_is_cut(tmp_path: Path) -> None:
    with pytest.raises(FapError, match=r"\n  \(from versions: 1, 2, .* … .*, 998, 999\)$") as caught:
        run(["sh", "-c", 'echo "(from versions: $(seq -s ", " 999))"; exit 1'], cwd=tmp_path)
    assert len(caught.value.message) < 500

"""Which lines of logs `faprelease logs` prints on a host, with real files and processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faprelease.host.programs import loglines
from tests.parts.fleet import wait_until

PROGRAM = Path(loglines.__file__)
LOG = """\
a line without a time
2026-11-30 18:00:00,123 INFO early
[2026-11-30 19:00:00 +0100] ERROR at the same time
2026-11-30T18:10:00Z ERROR it broke
Traceback (most recent call last):
ValueError: of ten past
127.0.0.1 - - [30/Nov/2026:18:20:00 +0000] "GET / HTTP/1.1" 200 5
"""
TEN_PAST = 1796062200


def start(*words: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM.read_text(), *words],
        env={**os.environ, "TZ": "UTC", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def shown(wanted: dict[str, object], *words: str, **environment: str) -> tuple[list[str], str]:
    process = start(json.dumps(wanted), *words, **environment)
    out, err = process.communicate(timeout=30)
    return out.splitlines(), err


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "web.log"
    path.write_text(LOG)
    return str(path)


@pytest.mark.parametrize(
    ("wanted", "lines"),
    [
        ({}, LOG.splitlines()),
        ({"lines": 2}, LOG.splitlines()[-2:]),
        ({"since": TEN_PAST}, LOG.splitlines()[3:]),
        ({"since": TEN_PAST + 1}, LOG.splitlines()[6:]),
        ({"grep": "ERROR"}, LOG.splitlines()[2:4]),
        ({"grep": "ERROR", "lines": 1}, LOG.splitlines()[3:4]),
        ({"grep": "ten past", "since": TEN_PAST}, LOG.splitlines()[5:6]),
        ({"grep": ".*"}, []),
    ],
)
def test_lines_times_and_text_choose(wanted: dict[str, object], lines: list[str], log: str) -> None:
    assert shown(wanted, "files", log) == (["==> web", *lines], "")


def test_a_log_without_times_is_printed_whole_and_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_text("one\ntwo\n")
    lines, said = shown({"since": TEN_PAST}, "files", str(tmp_path / "web.log"))
    assert lines == ["==> web", "one", "two"]
    assert said == "warning: no line of web has a time: --since leaves nothing out\n"


@pytest.mark.parametrize("wanted", [{"grep": "needle"}, {"since": TEN_PAST}, {"lines": 30_000}])
def test_a_long_log_is_read_as_far_back_as_needed(wanted: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "web.log"
    later = "2026-11-30 18:30:00 " + "x" * 80 + "\n"
    path.write_text(f"2026-11-30 18:00:00 old\n2026-11-30 18:10:00 needle\n{later * 20_000}")
    lines, said = shown(wanted, "files", str(path))
    assert said == ""
    assert "2026-11-30 18:10:00 needle" in lines
    assert ("2026-11-30 18:00:00 old" in lines) == ("lines" in wanted)


def test_following_shows_each_new_line_once_and_ends_with_its_reader(log: str, tmp_path: Path) -> None:
    process = start(json.dumps({"lines": 1, "grep": "ERROR", "follow": True}), "files", log)
    assert process.stdout is not None
    heard = [process.stdout.readline() for _ in range(2)]
    with Path(log).open("a") as file:
        file.write("INFO nothing\nERROR new\n")
    heard.append(process.stdout.readline())
    assert heard == ["==> web\n", "2026-11-30T18:10:00Z ERROR it broke\n", "ERROR new\n"]
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.stdout.close()
    process.wait(20)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "tail ends too", 10)


JOURNALCTL = """\
#!/bin/sh
printf '%s\\n' "$*" 'ERROR one' 'INFO two' 'ERROR three' 'INFO four'
case $* in *-f*) echo 'ERROR new'; exec sleep 60 ;; esac
"""
UNIT = ("--no-pager", "-u", "shop.service")


@pytest.fixture
def journal(tmp_path: Path) -> str:
    (tmp_path / "journalctl").write_text(JOURNALCTL)
    (tmp_path / "journalctl").chmod(0o755)
    return f"{tmp_path}:/usr/bin:/bin"


@pytest.mark.parametrize(
    ("wanted", "asked", "last"),
    [
        ({"lines": 9}, "-n 9", "INFO four"),
        ({"lines": 0, "since": TEN_PAST}, f"--since=@{TEN_PAST}", "INFO four"),
        ({"lines": 1, "grep": "ERROR"}, None, "ERROR three"),
    ],
)
def test_journalctl_is_asked(wanted: dict[str, object], asked: str | None, last: str, journal: str) -> None:
    lines, said = shown(wanted, "journal", "journalctl", *UNIT, PATH=journal)
    assert said == ""
    assert lines[-1] == last
    assert lines == [last] if asked is None else lines[0] == f"{' '.join(UNIT)} {asked}"


def test_journalctl_is_followed_and_ends_with_its_reader(journal: str) -> None:
    wanted = json.dumps({"lines": 5, "grep": "ERROR", "follow": True})
    process = start(wanted, "journal", "journalctl", *UNIT, PATH=journal)
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == ["ERROR one\n", "ERROR three\n", "ERROR new\n"]
    process.stdout.close()
    process.wait(20)


class Stream:
    """A pipe that `supervisorctl tail -f` would write to."""

    def __init__(self, data: bytes) -> None:
        self._reader, writer = os.pipe()
        os.write(writer, data)
        os.close(writer)

    def fileno(self) -> int:
        return self._reader


@pytest.mark.parametrize(
    ("read", "repeated", "new"),
    [
        (b"one\ntwo\n", b"two\n", b""),
        (b"one\ntwo\n", b"two\nthree\n", b"three\n"),
        (b"", b"one\n", b"one\n"),
        (b"one\ntw", b"one\ntwo\n", b"o\n"),
        (b"old\n", b"rotated\n", b"rotated\n"),
    ],
)
def test_what_supervisord_repeats_is_not_shown_again(read: bytes, repeated: bytes, new: bytes) -> None:
    stream = Stream(loglines.BANNER + repeated)
    assert loglines.SupervisorLog("shop", "stdout").first(read, stream) == new


def test_colours_hide_no_log_of_supervisord(tmp_path: Path) -> None:
    """supervisorctl's own answer to `tail -N` of a log with an escape character, and to `tail -f`."""
    error = "error: <class 'xml.parsers.expat.ExpatError'>, not well-formed (invalid token): line 8, column 0"
    script = f"""\
#!/bin/sh
case $* in
  *stderr*) echo "shop: ERROR (no log file)" ;;
  *-f*) printf '==> Press Ctrl-C to exit <==\\n\\33[31mERROR red\\n'; exec sleep 60 ;;
  *) echo "{error}: file: client.py line: 451" ;;
esac
"""
    (tmp_path / "supervisorctl").write_text(script)
    (tmp_path / "supervisorctl").chmod(0o755)
    lines, said = shown({}, "supervisor", "shop", PATH=f"{tmp_path}:/usr/bin:/bin")
    assert lines == ["==> shop, stdout", "\33[31mERROR red"]
    assert said.startswith("warning: supervisorctl can't read back in shop, stdout")

"""What hosts print and record reaches a terminal as text, whatever it contains."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.core.text import plain
from tests.parts.site import Site, artifact

ESCAPES = "\x1b]0;TITLE\x07 \x1b]52;c;cHduZWQ=\x07 \x1b[2J\x1b[H \x9b2J \x9d0;c1\x9c \x1bP+q544e\x1b\\ "
ESCAPES += "\u202ereversed \x7f\r"
PAINTS = ("\x1b]", "\x1bP", "\x9b", "\x9d", "\u202e", "\x07", "\x1b[2J")


@given(st.text(st.characters(codec="utf-8")))
def test_plain_text_moves_no_cursor(text: str) -> None:
    assert all(letter.isprintable() or letter == "\n" for letter in plain(text))
    assert plain(plain(text)) == plain(text)


def test_ordinary_text_stays() -> None:
    text = "a line with 漢字 and é\n\tindented\r\nend\n"
    assert plain(text) == "a line with 漢字 and é\n        indented\nend\n"


def harmless(said: str) -> bool:
    """Only colours of our own are left: SGR sequences, and what moves the live lines at a terminal."""
    return not any(
        escape in said for escape in ("\x1b]", "\x1bP", "\x9b", "\x9d", "\u202e", "\x07", "\x1b[2J")
    )


@pytest.mark.parametrize("words", [(), ("-v",)], ids=["plain", "verbose"])
@pytest.mark.parametrize("ending", ["exit 0", "exit 1"])
def test_an_installer_paints_nothing(site: Site, tmp_path: Path, words: tuple[str, ...], ending: str) -> None:
    escapes = "".join(f"\\{byte:03o}" for byte in ESCAPES.encode())
    install = f"#!/bin/sh\nmkdir venv\nprintf 'warning: {escapes}\\n'\n{ending}\n".encode()
    url = artifact(tmp_path / "builds", "1", {"install.sh": install})
    site.configure()
    command = [sys.executable, "-m", "faprelease", "-f", str(site.deploy_yml), *words]
    command += ["--curl-url", url, "production", "web"]
    environment = {**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    piped = subprocess.run(command, capture_output=True, env=environment)
    said = (piped.stdout + piped.stderr).decode()
    assert "reversed" in said
    assert harmless(said), said
    assert "\x1b" not in said
    master, slave = pty.openpty()
    process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:
            break
    process.wait()
    assert harmless(shown.decode()), shown


def test_records_of_a_host_paint_nothing(
    site: Site, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    site.configure()
    release_id = site.release(artifact(tmp_path / "builds", "1"))
    state = site.path / ".fap"
    record = state / f"releases/{release_id}.jsonl"
    line = json.dumps({"state": "live", "by": ESCAPES, "at": "2026-01-01T00:00:00Z"})
    record.write_text(record.read_text() + line + "\n")
    ledger = state / "ledger.jsonl"
    event = json.dumps({"at": "2026-01-01T00:00:00Z", "event": ESCAPES, "who": ESCAPES, "why": ESCAPES})
    ledger.write_text(ledger.read_text() + event + "\n")
    freeze = json.dumps({"who": ESCAPES, "at": "now", "why": ESCAPES})
    (state / "frozen").write_text(freeze + "\n")
    for words in (
        ["status"],
        ["releases"],
        ["history"],
        ["release", "--curl-url", "file:///x"],
        ["unfreeze"],
    ):
        verb, *flags = words
        command = [
            sys.executable,
            "-m",
            "faprelease",
            verb,
            "-f",
            str(site.deploy_yml),
            *flags,
            "production",
            "web",
        ]
        done = subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        said = (done.stdout + done.stderr).decode()
        assert ("TITLE" if verb == "releases" else "reversed") in said, (words, said)
        assert harmless(said), (words, said)

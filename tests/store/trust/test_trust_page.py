"""docs/how-to/trust.md: its commands work as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from artifact_store.blobs.open import make_store
from tests.parts.repository import ROOT
from tests.parts.signers import Signers
from tests.parts.times import timeless

PAGE = ROOT / "docs" / "how-to" / "trust.md"


@pytest.mark.slow
def test_its_commands_work_in_their_order(tmp_path: Path, one: Path) -> None:
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    Signers(home).key("id_ed25519")
    make_store(f"file://{tmp_path}/store")
    script = "".join(
        line.removeprefix("    ") for line in re.findall(r"^(?:    .*)?\n", PAGE.read_text(), re.M)
    )
    assert script.count("fapstore ") > 6
    done = subprocess.run(
        ["sh", "-euxc", script],
        cwd=one.parent,
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith(("FAP_", "GITHUB_"))},
            "HOME": str(home.parent),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FAP_STORE": f"file://{tmp_path}/store",
            "FAP_WHO": "ann@desk",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "1  TIME  ann@desk promoted 1 from staging, approved by ann@example.com, signed by ann@example.com"
        in timeless(done.stdout)
    )
    assert "BAD" not in done.stdout
    assert "ok  shop 1: 0." in done.stdout


def test_every_promise_names_tests_that_are_there() -> None:
    _, _, after = PAGE.read_text().partition("\n## What holds\n")
    rows = [line.split(" | ") for line in after.splitlines() if line.startswith("| ")][1:]
    promises = [row for row in rows if not row[0].startswith("| **")]
    assert len(promises) > 15
    for promise, _, tests in promises:
        names = re.findall(r"`([^`]+)`", tests)
        assert names, promise
        assert all((ROOT / name).is_file() for name in names), promise

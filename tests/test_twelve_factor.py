"""docs/explanation/twelve-factor.md is true: its files are written and its commands are run as they are."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.repository import ROOT

PAGE = ROOT / "docs" / "explanation" / "twelve-factor.md"
_BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FACTORS = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]


@pytest.mark.index
def test_every_example_runs_and_prints_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, page = tmp_path / "shop", PAGE.read_text()
    for place in ("home", "shop", "srv", "tmp"):
        (tmp_path / place).mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PORT", str(port))
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ann")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ann@example.org")
    ran = []
    for language, what, text in _BLOCK.findall(page):
        here = re.sub(r"/(srv|tmp)/", rf"{tmp_path}/\1/", text)
        if what != "run":
            (folder / what).write_text(here)
            continue
        assert language == "sh"
        done = subprocess.run(
            ["sh", "-e", "-c", here],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        for line in re.findall(r"^#> (.*)$", here, re.MULTILINE):
            assert line in done.stdout, f"{text}\n{done.stdout}"
        ran.append(here)
    headings = re.findall(r"^## (\w+)\. ", page, re.MULTILINE)
    assert headings == _FACTORS
    assert len(ran) == len(_FACTORS)

"""`python -m bench` measures what it says: both ways work, and ours needs one session per host."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench import old_store
from tests.parts.project import Project
from tests.parts.repository import ROOT


@pytest.mark.fleet
def test_one_turn_on_one_host_prints_a_row() -> None:
    argv = [sys.executable, "-m", "bench", "release", "--hosts", "1", "--far", "", "--runs", "1"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = [cell.strip() for cell in done.stdout.splitlines()[-1].strip("|").split("|")]
    assert [re.sub(r"[\d.]+", "N", cell) for cell in cells[1:5]] == ["N s", "N s", "N", "N to N"]
    assert (cells[0], cells[5]) == ("1", "1 against 6")


@pytest.mark.fleet
@pytest.mark.front
@pytest.mark.index
@pytest.mark.supervisord
def test_a_handover_under_load_loses_no_request() -> None:
    argv = [sys.executable, "-m", "bench", "handover", "--runs", "1", "--rates", "20", "--ways", "beside"]
    few = ("--managers", "supervisor", "--servers", "gunicorn", "--bad", "no-start", "--quiet", "1")
    done = subprocess.run([*argv, *few], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [re.sub(r"[\d.]+", "N", line) for line in done.stdout.splitlines() if line.startswith("| beside")]
    who = "| beside | supervisor | gunicorn | N | "
    assert rows == [
        f"{who}N of N | N | N ms | N ms | N ms | N ms, N ms, N ms | N s | N s |",
        f"{who}no-start | N of N | N | N | N s | N s |",
    ]
    good, bad = (line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| beside"))
    assert (good[4][:5], good[5]) == ("0 of ", "0"), done.stdout
    assert (bad[5][:5], bad[6], bad[7]) == ("0 of ", "0", "4"), done.stdout


@pytest.mark.index
@pytest.mark.slow
def test_an_app_that_was_brought_comes_to_its_page(tmp_path: Path) -> None:
    app = "import os\nfrom flask import Flask\napp = Flask(__name__)\nKEY = os.environ['SHOP_KEY']\n"
    project = tmp_path / "apps" / "shop"
    project.mkdir(parents=True)
    Project(project).commit({"requirements.txt": "flask\n", "app.py": app})
    entry = '[[app]]\nname = "{}"\nurl = "https://example.org"\nwhat = "Flask"\ncommit = "main"\n'
    text = entry.format("shop") + 'environment = {SHOP_KEY = "x"}\nbefore = ["test -f app.py"]\n'
    (tmp_path / "list.toml").write_text(text + entry.format("other"))
    argv = [
        sys.executable,
        "-m",
        "bench",
        "apps",
        str(tmp_path / "apps"),
        "--list",
        str(tmp_path / "list.toml"),
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    row = re.sub(r"\d+ s", "N s", done.stdout.splitlines()[-1])
    assert row == "| shop main | Flask | 5 | N s | N s | 404 | SHOP_KEY |", done.stderr
    assert "other: not in " in done.stderr


def test_each_command_runs_in_an_old_store() -> None:
    argv = [sys.executable, "-m", "bench", "store", "--bucket", "", "--folder", "30,12", "--runs", "1"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.endswith(" MB |")]
    everything = [title for title, *_ in old_store.COMMANDS]
    assert [row[0].strip("| ") for row in rows] == [*everything, *everything]

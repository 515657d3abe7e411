"""What `make pex` builds: the wheel, the sdist, and each command as one file."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.repository import ROOT

COMMANDS = ("fapbuild", "fapstore", "faprelease")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make pex` fills, for the Python of the tests."""
    folder = tmp_path_factory.mktemp("dist") / "dist"
    python = Path(sys.executable).resolve()
    argv = ["make", "--old-file", ".venv/installed", "pex", f"PYTHON={python}", f"DIST={folder}"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder

"""`python -m bench install` measures what it says: install.sh and pip leave the same packages."""

import re
import subprocess
import sys
from pathlib import Path

from tests.parts.repository import ROOT


def test_one_turn_prints_a_row(packed: Path) -> None:
    argv = [sys.executable, "-m", "bench", "install", "--runs", "1", "--artifact", str(packed)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    row = re.sub(r"\d+\.\d+", "N", done.stdout.splitlines()[-1])
    assert row == "| 2 | N s | N s | N | N to N | N s against N s |"

"""Run the install.sh of an unpacked artifact, and look at what it made."""

import subprocess
import sys
from pathlib import Path

BARE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "FAP_PYTHON": sys.executable}


def install(folder: Path, *, shell: list[str] | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(shell or ["sh"]), "./install.sh"],
        cwd=folder,
        env={**BARE, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def output(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def site_of(folder: Path) -> Path:
    (site,) = (folder / "venv" / "lib").glob("python*/site-packages")
    return site

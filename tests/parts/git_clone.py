"""A git clone with commits in it."""

import os
import subprocess
from pathlib import Path

import pytest

NAMES = {"GIT_AUTHOR_NAME": "Ann", "GIT_COMMITTER_NAME": "Ann"}
ADDRESSES = {"GIT_AUTHOR_EMAIL": "ann@example.com", "GIT_COMMITTER_EMAIL": "ann@example.com"}


def git(folder: Path, *argv: str) -> str:
    env = {**os.environ, **NAMES, **ADDRESSES}
    return subprocess.run(
        ["git", "-C", folder, *argv], env=env, capture_output=True, text=True, check=True
    ).stdout.strip()


def commit(folder: Path, subject: str) -> str:
    git(folder, "commit", "-q", "--allow-empty", "-m", subject)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "clone")
    return tmp_path / "clone"

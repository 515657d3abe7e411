"""The commits between two commits, from a local git repository."""

import os
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from artifact_store.core import git

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_FORMAT = "%H%x00%at%x00%an%x00%s"
_SECONDS = 60


@dataclass(frozen=True)
class Commit:
    """A commit."""

    id: str
    at: datetime
    """The author date, in UTC."""
    author: str
    subject: str


@dataclass(frozen=True)
class Divergence:
    """The difference of the histories of two commits; newest first."""

    ahead: tuple[Commit, ...]
    """The commits in the second history only."""
    behind: tuple[Commit, ...]
    """The commits in the first history only."""


def between(first: str, second: str, folder: Path) -> Divergence | None:
    """Compare two commit ids with `git log` in `folder`.

    None if git is not installed, `folder` is not in a repository, or a commit is not in it.
    """
    if not (_COMMIT.fullmatch(first) and _COMMIT.fullmatch(second)):
        return None
    ahead, behind = _log(first, second, folder), _log(second, first, folder)
    return None if ahead is None or behind is None else Divergence(ahead, behind)


def _log(without: str, of: str, folder: Path) -> tuple[Commit, ...] | None:
    how = ("-z", "--no-color", "--no-show-signature", f"--format={_FORMAT}")
    try:
        done = subprocess.run(
            git.command("log", *how, "--end-of-options", f"{without}..{of}", "--"),
            cwd=folder,
            env={**os.environ, **git.environment()},
            capture_output=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    fields = done.stdout.decode("utf-8", "replace").split("\0")
    rows = zip(*[iter(fields)] * 4, strict=False)
    return tuple(
        Commit(id_, datetime.fromtimestamp(int(at), UTC), author, subject)
        for id_, at, author, subject in rows
    )

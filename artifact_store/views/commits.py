"""The commits between two of them, as the git repository here tells, if there is one that has both."""

import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_FORMAT = "%H%x00%at%x00%an%x00%s"
_SECONDS = 60


@dataclass(frozen=True)
class Commit:
    """A commit as its log tells it."""

    id: str
    at: datetime
    """When it was written, in UTC."""
    author: str
    subject: str


@dataclass(frozen=True)
class Divergence:
    """Two commits seen from each other; the newest first."""

    ahead: tuple[Commit, ...]
    """In the second, not in the first."""
    behind: tuple[Commit, ...]
    """In the first, not in the second."""


def between(first: str, second: str, folder: Path) -> Divergence | None:
    """What `git log` in `folder` knows of two commit ids.

    None if git is not installed, `folder` is in no repository, or that lacks one of the commits.
    """
    if not (_COMMIT.fullmatch(first) and _COMMIT.fullmatch(second)):
        return None
    ahead, behind = _log(first, second, folder), _log(second, first, folder)
    return None if ahead is None or behind is None else Divergence(ahead, behind)


def _log(without: str, of: str, folder: Path) -> tuple[Commit, ...] | None:
    argv = ["git", "log", "-z", "--no-color", "--no-show-signature", f"--format={_FORMAT}"]
    try:
        done = subprocess.run(
            [*argv, "--end-of-options", f"{without}..{of}", "--"],
            cwd=folder,
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

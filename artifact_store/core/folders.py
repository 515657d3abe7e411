"""Folders that nobody else may write to, whatever the umask."""

from pathlib import Path

MODE = 0o775
"""Less what the umask takes away: under umask 000, Python makes folders that everyone may write to."""


def make_folder(path: Path) -> None:
    """Make the folder and its missing parents. Raises OSError."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(MODE, exist_ok=True)

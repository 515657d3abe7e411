"""The modules that make packages of wheels on hosts, as files: see README.md beside this file."""

import re
from pathlib import Path

_FOLDER = Path(__file__).parent


def modules() -> tuple[Path, ...]:
    """The files of all modules, sorted by name."""
    return tuple(path for path in sorted(_FOLDER.glob("*.py")) if path != Path(__file__))


def requirements() -> str:
    """The text of the lock of the wheels that the modules need, as `pip-compile` writes it."""
    return (_FOLDER / "requirements.txt").read_text(encoding="utf-8")


def known_wheels() -> tuple[str, ...]:
    """The sha256 of each wheel that the modules need now or needed once, in lower case hexadecimal."""
    return tuple(re.findall(r"sha256:([0-9a-f]{64})", requirements()))

"""What fapkit itself puts into an artifact so that a host can install and run it."""

from collections.abc import Sequence
from pathlib import Path

from fapbuild.locks import Pin, parse_lock
from fapbuild.plan import Entry
from fapbuild.wheels import Vendored

_FOLDER = Path(__file__).parent / "installer"


def pins() -> tuple[Pin, ...]:
    """The wheel that installs all others on the host, pinned by its hash."""
    return parse_lock(
        (_FOLDER / "requirements.txt").read_text(encoding="utf-8"), "fapbuild/installer/requirements.txt"
    )


def entries(own_wheels: Sequence[Vendored], *, own_installer: bool) -> tuple[Entry, ...]:
    """`install.sh` (unless the project has its own), `.fap/install.py`, `.fap/run` and the pinned wheel."""
    found = [_text(".fap/install.py", "install.py", 0o644), _text(".fap/run", "run", 0o755)]
    if not own_installer:
        found.append(_text("install.sh", "install.sh", 0o755))
    found += [Entry(f".fap/{wheel.file}", 0o644, wheel.size, wheel.path) for wheel in own_wheels]
    return tuple(found)


def _text(path: str, name: str, mode: int) -> Entry:
    data = (_FOLDER / name).read_bytes()
    return Entry(path, mode, len(data), data)

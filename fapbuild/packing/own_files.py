"""What fapkit itself puts into an artifact so that a host can install and run it."""

from collections.abc import Sequence
from pathlib import Path

from artifact_store.artifact.manifest import Platform
from fapbuild.archive.members import Entry
from fapbuild.locks import Pin, parse_lock
from fapbuild.project.platforms import marker_environment
from fapbuild.wheels.vendor import Vendored

_FOLDER = Path(__file__).parent.parent / "installer"


def pins(platform: Platform) -> tuple[Pin, ...]:
    """The wheels that the installer runs from on the target, pinned by their hashes."""
    text = (_FOLDER / "requirements.txt").read_text(encoding="utf-8")
    return parse_lock(text, "fapbuild/installer/requirements.txt", marker_environment(platform))


def entries(own_wheels: Sequence[Vendored], *, own_installer: bool) -> tuple[Entry, ...]:
    """`.fap/run`, `install.sh` (unless the project has its own), and with its wheels `.fap/installer/`."""
    found = [_text(".fap/run", "run", 0o755)]
    if own_wheels:
        modules = sorted(_FOLDER.glob("*.py"))
        found += [_text(f".fap/installer/{path.name}", path.name, 0o644) for path in modules]
    if not own_installer:
        found.append(_text("install.sh", "install.sh", 0o755))
    found += [Entry(f".fap/{wheel.file}", 0o644, wheel.size, wheel.path) for wheel in own_wheels]
    return tuple(found)


def _text(path: str, name: str, mode: int) -> Entry:
    data = (_FOLDER / name).read_bytes()
    return Entry(path, mode, len(data), data)

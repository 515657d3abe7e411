"""The files that fapkit adds to an artifact, so that a host can install and run it."""

from collections.abc import Sequence
from pathlib import Path

from artifact_store.artifact import installing
from artifact_store.artifact.manifest import Platform
from fapbuild.archive.members import TarEntry
from fapbuild.locks import Pin, parse_lock
from fapbuild.project.platforms import marker_environment
from fapbuild.wheels.vendor import VendoredWheel

_FOLDER = Path(__file__).parent.parent / "installer"


def pins(platform: Platform) -> tuple[Pin, ...]:
    """The wheels that the installer needs on the platform, pinned by their hashes."""
    name = "artifact_store/artifact/installing/requirements.txt"
    return parse_lock(installing.requirements(), name, marker_environment(platform))


def entries(own_wheels: Sequence[VendoredWheel], *, own_installer: bool) -> tuple[TarEntry, ...]:
    """`.fap/run`, `install.sh` (unless the project has its own), and with its wheels `.fap/installer/`."""
    files = [_text(".fap/run", _FOLDER / "run", 0o755)]
    if own_wheels:
        modules = sorted((*_FOLDER.glob("*.py"), *installing.modules()), key=lambda path: path.name)
        files += [_text(f".fap/installer/{path.name}", path, 0o644) for path in modules]
    if not own_installer:
        files.append(_text("install.sh", _FOLDER / "install.sh", 0o755))
    files += [TarEntry(f".fap/{wheel.file}", 0o644, wheel.size, wheel.path) for wheel in own_wheels]
    return tuple(files)


def _text(path: str, file: Path, mode: int) -> TarEntry:
    data = file.read_bytes()
    return TarEntry(path, mode, len(data), data)

"""Compiles the bytecode of vendored wheels with the Python of the target, once for each wheel."""

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import FapError, UsageError
from fapbuild import command
from fapbuild.archive.writer import compress, compressor
from fapbuild.cache import Cache
from fapbuild.wheels.vendor import VendoredWheel

_PROGRAM = Path(__file__).parents[1] / "isolation" / "programs" / "compile_wheel.py"
_KIND = "bytecode-1"
_LEAST = (3, 11)
_RELEASE = "import platform, sys; print(platform.python_version(), sys.implementation.name)"


@dataclass(frozen=True)
class Interpreter:
    """A CPython of the target."""

    path: str
    release: str
    """Its version, `3.11.7`."""


def find(platform: Platform, release: str = "") -> Interpreter:
    """Find a Python of the platform's minor version, of this `release` unless that is empty.

    Raises UsageError if there is none on this machine, or if it is older than Python 3.11: before, bytecode
    also depends on how that Python itself was built.
    """
    minor = f"{platform.python[2]}.{platform.python[3:]}"
    if tuple(map(int, minor.split("."))) < _LEAST:
        raise UsageError(
            f"bytecode = true needs Python 3.11 or newer, and the target is {platform.python}",
            hint="remove bytecode from [tool.fapbuild]: hosts compile it then",
        )
    for path in (sys.executable, shutil.which(f"python{minor}")):
        found = _release(path) if path else ""
        if path and found.startswith(f"{minor}.") and release in ("", found):
            return Interpreter(path, found)
    raise UsageError(
        f"bytecode = true, but this machine has no Python {release or minor} to compile it",
        hint=f"install python{minor} here, or remove bytecode from [tool.fapbuild]: hosts compile it then",
    )


def _release(path: str) -> str:
    try:
        said = command.run([path, "-I", "-S", "-c", _RELEASE], cwd=Path("/"), clean=True)
    except FapError:
        return ""
    release, _, name = said.decode().strip().partition(" ")
    return release if name == "cpython" else ""


def compile_all(
    wheels: Sequence[VendoredWheel], interpreter: Interpreter, cache: Cache
) -> tuple[VendoredWheel, ...]:
    """Return the wheels with their bytecode. Raises FapError as `bytecode_of`."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return tuple(pool.map(lambda wheel: _compiled(wheel, interpreter, cache), wheels))


def _compiled(wheel: VendoredWheel, interpreter: Interpreter, cache: Cache) -> VendoredWheel:
    question = f"{wheel.sha256} cpython {interpreter.release} {compressor()}"
    kept = cache.keep(_KIND, question, lambda: compress(bytecode_of(wheel.path, interpreter)))
    path = cache.path(kept.sha256)
    return replace(wheel, bytecode=path, bytecode_sha256=kept.sha256, bytecode_size=path.stat().st_size)


def bytecode_of(wheel: Path, interpreter: Interpreter) -> bytes:
    """The bytecode of a wheel, as an artifact has it, but not compressed. Nothing of the wheel is run.

    Raises FapError if the wheel can't be read, or if compiling a file of it takes too much memory or time.
    """
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as folder:
        output = Path(folder) / "bytecode"
        command.run(
            [interpreter.path, "-s", "-S", "-B", str(_PROGRAM), str(wheel), str(output), "1"],
            cwd=Path(folder),
            env={"PYTHONHASHSEED": "0"},
            clean=True,
            hint="without bytecode = true in [tool.fapbuild], hosts compile the packages",
        )
        return output.read_bytes()

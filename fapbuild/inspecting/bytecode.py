"""Compares the bytecode in an artifact with that of its sources, which is compiled again here."""

import os
import tempfile
import zlib
from collections import deque
from collections.abc import Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from artifact_store.artifact import reader
from artifact_store.artifact.manifest import Manifest
from artifact_store.core.errors import FapError, UsageError, VerificationError
from fapbuild.wheels.bytecode import Interpreter, bytecode_of, find

_HINT = "don't release it; pack it again with `fapbuild pack`"
_WORKERS = os.cpu_count() or 1


def check(path: Path, manifest: Manifest) -> None:
    """Compile the bytecode of a verified artifact again, and compare.

    Raises VerificationError for bytecode that is not of its wheel, and FapError if this machine does not have
    the release of Python that compiled it.
    """
    release = manifest.builder.bytecode
    wanted = {wheel.entries[-1] for wheel in manifest.wheels if wheel.bytecode}
    if not wanted:
        return
    minor = f"{manifest.target.python[2:3]}.{manifest.target.python[3:]}."
    if not release.startswith(minor):
        raise VerificationError(
            f"{path.name} says that Python {release!r} compiled its bytecode, for {manifest.target.python}",
            hint=_HINT,
        )
    try:
        interpreter = find(manifest.target, release)
    except UsageError as error:
        raise FapError(
            f"the bytecode in {path.name} was not compared with its sources: it is of Python {release}, "
            "which is not on this machine",
            hint=f"run this with Python {release}; everything else is intact",
        ) from error
    jobs: deque[Future[None]] = deque()
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as folder, ThreadPoolExecutor(_WORKERS) as pool:
        for name, wheel, given in _pairs(path, wanted, Path(folder)):
            jobs.append(pool.submit(_compare, given, wheel, interpreter, f"{path.name}: {name}"))
            # Few wheels lie there at once, however many there are.
            if len(jobs) > 2 * _WORKERS:
                jobs.popleft().result()
        for job in jobs:
            job.result()


def _pairs(path: Path, wanted: Container[str], folder: Path) -> Iterator[tuple[str, Path, bytes]]:
    """The name and content of each bytecode, with its wheel, which is before it, as a file in `folder`."""
    wheel = folder
    with path.open("rb") as file:
        for entry in reader.Archive(file, path.stat().st_size, sha256).entries():
            if entry.name in wanted:
                yield entry.name, wheel, b"".join(entry.contents)
            elif entry.is_wheel:
                wheel = folder / Path(entry.name).name
                with wheel.open("wb") as copy:
                    copy.writelines(entry.contents)


def _compare(given: bytes, wheel: Path, interpreter: Interpreter, name: str) -> None:
    compiled = bytecode_of(wheel, interpreter)
    wheel.unlink()
    inflater = zlib.decompressobj(wbits=31)
    try:
        is_right = inflater.decompress(given, len(compiled) + 1) == compiled and inflater.eof
    except zlib.error:
        is_right = False
    if not is_right or inflater.unused_data:
        raise VerificationError(
            f"{name} is not the bytecode of its wheel: it could run other code than its sources say",
            hint=_HINT,
        )

"""Compares the bytecode in an artifact with that of its sources, which is compiled again here."""

import os
import shutil
import tarfile
import tempfile
import zlib
from collections import deque
from collections.abc import Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from artifact_store.artifact.manifest import Manifest
from artifact_store.core.errors import UsageError, VerificationError
from fapbuild.wheels.bytecode import Interpreter, bytecode_of, find

_WORKERS = os.cpu_count() or 1


def differences(path: Path, manifest: Manifest) -> str:
    """Compare all bytecode of a verified artifact; return why that is not possible, empty if it is right.

    Raises VerificationError for bytecode that is not of its wheel.
    """
    release = manifest.builder.bytecode
    wanted = {wheel.entries[-1] for wheel in manifest.wheels if wheel.bytecode}
    if not wanted:
        return ""
    try:
        interpreter = find(manifest.target)
    except UsageError:
        return f"it is of Python {release}, which is not on this machine"
    if interpreter.release != release:
        return f"it is of Python {release}, and this machine has {interpreter.release}"
    jobs: deque[Future[None]] = deque()
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as folder, ThreadPoolExecutor(_WORKERS) as pool:
        for name, wheel, given in _pairs(path, wanted, Path(folder)):
            jobs.append(pool.submit(_compare, given, wheel, interpreter, f"{path.name}: {name}"))
            # Few wheels lie there at once, however many there are.
            if len(jobs) > 2 * _WORKERS:
                jobs.popleft().result()
        for job in jobs:
            job.result()
    return ""


def _pairs(path: Path, wanted: Container[str], folder: Path) -> Iterator[tuple[str, Path, bytes]]:
    """The name and content of each bytecode, with its wheel, which is before it, as a file in `folder`."""
    wheel = folder
    with tarfile.open(path, "r:gz") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.name.startswith("wheels/") else None
            if content and entry.name in wanted:
                yield entry.name, wheel, content.read()
            elif content:
                wheel = folder / Path(entry.name).name
                with wheel.open("wb") as file:
                    shutil.copyfileobj(content, file)


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
            hint="don't release it; pack it again with `fapbuild pack`",
        )

"""Wheels become packages: their files unpacked, their bytecode compiled."""

import io
import os
import py_compile
import warnings
from collections import Counter

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.records import Hash, RecordEntry
from installer.sources import WheelFile
from installer.utils import copyfileobj_with_hashing
from refusal import RefusedError
from workers import spread

# Wheels are installed with this as their interpreter, which is then replaced: scripts find the python
# beside themselves, so a release can be moved, lie in any path and needs no `current`. To sh the second line
# is a command, to Python lines two and three are a string.
PLACEHOLDER = b"#!/fap/python"
SHEBANG = b'#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(readlink -f -- "$0")")/python" "$0" "$@"\n\' \'\'\''

CHUNK = 400_000
"""Bytes of sources that one job compiles: about half a second."""


def unpack_all(wheels, venv, site):
    """Unpack wheels, given as sorted paths; the later one wins if two bring the same file, as with pip."""
    largest_first = sorted(wheels, key=lambda wheel: -wheel.stat().st_size)
    written = spread(largest_first, lambda wheel: unpack(wheel, venv, site))
    times = Counter(path for paths in written for path in paths)
    twice = {wheel for wheel, paths in zip(largest_first, written) if any(times[path] > 1 for path in paths)}
    for wheel in wheels:
        if wheel in twice:
            unpack(wheel, venv, site)


def unpack(wheel, venv, site):
    """Unpack one wheel, with its scripts and its RECORD; the list of the files that were written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # bytecode in a wheel is left out, and made below
        try:
            with WheelFile.open(wheel) as source:
                destination = _Venv(venv, site, source.distribution)
                install(source, destination, {"INSTALLER": b"fapkit\n"})
        except OSError:
            raise
        except Exception as error:  # what a broken or hostile wheel raises is not told by its library
            raise RefusedError(f"wheels/{wheel.name} can't be installed: {error!r}") from None
    return destination.written


class _Venv(SchemeDictionaryDestination):
    """Where the parts of a wheel go. Paths are computed, as Debian's own sysconfig names other folders."""

    def __init__(self, venv, site, distribution):
        folders = {
            "purelib": str(site),
            "platlib": str(site),
            "scripts": str(venv / "bin"),
            "headers": str(venv / "include" / "site" / distribution),
            "data": str(venv),
        }
        super().__init__(folders, PLACEHOLDER[2:].decode("ascii"), "posix")
        self.written, self.made = [], set()

    def write_to_fs(self, scheme, path, stream, is_executable):
        folder = self.scheme_dict[scheme]
        target = os.path.normpath(os.path.join(folder, path))
        if not target.startswith(folder + os.sep):
            raise ValueError(f"{path} leads out of the venv")
        if scheme == "scripts":
            stream, is_executable = _find_python_beside(stream), True
        parent = os.path.dirname(target)
        if parent not in self.made:
            os.makedirs(parent, exist_ok=True)
            self.made.add(parent)
        with open(target, "wb") as file:
            digest, size = copyfileobj_with_hashing(stream, file, "sha256")
        if is_executable:
            os.chmod(target, 0o755)  # noqa: S103 (as on every host)
        self.written.append(target)
        return RecordEntry(path, Hash("sha256", digest), size)


def _find_python_beside(script):
    data = script.read()
    if data.startswith(PLACEHOLDER):
        data = SHEBANG + data[len(PLACEHOLDER) :]
    return io.BytesIO(data)


def compile_all(site, root, files):
    """Bytecode of packages never looks at their sources again; the project's own does, for hand edits.

    It names its sources by relative paths, so that its bytes are the same in every folder; Python puts in the
    full one when it loads them. What can't be compiled (templates, say) has no bytecode.
    """
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    jobs = [(site, chunk, unchecked) for chunk in _chunks(site, _sources(site))]
    jobs += [(root, chunk, checked) for chunk in _chunks(root, files)]
    spread(jobs, _compile)


def _sources(site):
    for folder, folders, names in os.walk(site):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".py"):
                yield os.path.relpath(os.path.join(folder, name), site)


def _chunks(folder, paths):
    chunk, size = [], 0
    for path in paths:
        chunk.append(path)
        size += os.path.getsize(os.path.join(folder, path))
        if size > CHUNK:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _compile(job):
    folder, paths, mode = job
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            py_compile.compile(
                os.path.join(folder, path), dfile=path, quiet=2, optimize=0, invalidation_mode=mode
            )

"""Compiles bytecode that is the same in every folder: it names its sources by relative paths.

Python inserts the full path when it loads them. Files that can't be compiled (templates) get no bytecode.

An artifact may bring the bytecode of a wheel, in `wheels/<file>.bytecode`. That is a gzip file (RFC 1952) of
one line of JSON, a list of [path of the source in site-packages, size in bytes], and then the files that
Python would write for these sources (PEP 552, unchecked), one after the other.
"""

import json
import marshal
import os
import sys
import warnings
import zlib

from digest import new_sha256
from refusal import RefusedError

CHUNK = 400_000
"""Bytes of source that one job compiles, which takes about half a second."""
LONGEST_LIST = 16 << 20
"""The most bytes of the line that lists the files of a wheel's bytecode."""
LARGEST = 64 << 20
"""The most bytes of the bytecode of one source."""
IS_UNCHECKED = b"\1\0\0\0"
"""The flags in the header of such a file."""
UNCHECKED, CHECKED = "UNCHECKED_HASH", "CHECKED_HASH"
"""Python never checks the sources of packages again; those of the project it does, so edits take effect."""


def compile_all(work):
    """Compile files, given as (folder, relative paths, mode)."""
    from workers import spread

    jobs = [(folder, chunk, mode) for folder, paths, mode in work for chunk in _chunks(folder, paths)]
    spread(jobs, _compile)


def unpack(path, site, known):
    """Write the bytecode of a wheel, which is the file `path` of an artifact, beside its sources in `site`.

    What is not of this Python, or not of the `known` sources there, is left out: it is compiled. Raises
    RefusedError.
    """
    from importlib.util import MAGIC_NUMBER, source_hash

    with open(path, "rb") as file:
        try:
            stream = _Inflated(file)
            for source, size in _listed(stream):
                data = stream.read(size)
                if source not in known or data[:8] != MAGIC_NUMBER + IS_UNCHECKED:
                    continue
                if data[8:16] == source_hash(_bytes(os.path.join(site, source))):
                    place = _compiled(site, source)
                    os.makedirs(os.path.dirname(place), exist_ok=True)
                    with open(place, "wb") as compiled:
                        compiled.write(data)
        except (ValueError, TypeError, zlib.error, RecursionError) as error:
            raise RefusedError(f"wheels/{os.path.basename(path)} is damaged: {error}", 6) from None


def _listed(stream):
    line = stream.read_line(LONGEST_LIST)
    for source, size in json.loads(line):
        if type(source) is not str or type(size) is not int or not 16 <= size <= LARGEST:
            raise ValueError(f"it lists {source!r}, {size!r}")
        yield source, size


class _Inflated:
    """The content of a gzip file, in pieces. Raises ValueError if it is too short."""

    def __init__(self, file):
        self.file, self.inflater, self.ready = file, zlib.decompressobj(31), b""

    def _more(self):
        while not self.ready:
            data = self.inflater.unconsumed_tail or self.file.read(1 << 16)
            if not data:
                raise ValueError("it is too short")
            self.ready = self.inflater.decompress(data, 1 << 16)

    def _take(self, size):
        self._more()
        piece, self.ready = self.ready[:size], self.ready[size:]
        return piece

    def read(self, size):
        pieces = []
        while size:
            pieces.append(self._take(size))
            size -= len(pieces[-1])
        return b"".join(pieces)

    def read_line(self, longest):
        pieces = []
        while not (pieces and pieces[-1].endswith(b"\n")):
            self._more()
            pieces.append(self._take(self.ready.find(b"\n") + 1 or len(self.ready)))
            longest -= len(pieces[-1])
            if longest < 0:
                raise ValueError("its list is too long")
        return b"".join(pieces)


def lacking(site):
    """The sources of packages that have no bytecode of this Python, as relative paths."""
    return [source for source in sources(site) if not os.path.exists(_compiled(site, source))]


def projects_python(root, paths):
    """The Python files of the project among these files of an artifact, which is unpacked in `root`.

    Without those of fapkit, and without those in or behind a link: bytecode is only written in `root`.
    """
    root, places = os.path.realpath(root), {}

    def is_inside(folder):
        place = f"{root}/{folder}" if folder else root
        return os.path.realpath(place) == place and not os.path.islink(place + "/__pycache__")

    found = []
    for path in paths:
        if not path.endswith(".py") or path.startswith(".fap/") or os.path.islink(f"{root}/{path}"):
            continue
        folder = os.path.dirname(path)
        if folder not in places:
            places[folder] = is_inside(folder)
        if places[folder]:
            found.append(path)
    return found


def compile_own(root, paths, cached):
    """Compile the project's files; files that the last release had too come from the file `cached`.

    It starts with the sha256 of the rest, and holds the bytecode of one release, by path and source.
    """
    before = _read(cached)
    keys = {path: _key(root, path) for path in paths}
    missing = [path for path in paths if keys[path] not in before]
    known = [path for path in paths if keys[path] in before]
    targets = {path: _compiled(root, path) for path in known}
    for folder in {os.path.dirname(target) for target in targets.values()}:
        os.makedirs(folder, exist_ok=True)
    for path in known:
        if os.path.lexists(targets[path]):
            os.unlink(targets[path])
        with open(targets[path], "xb") as file:
            file.write(before[keys[path]])
    if missing:
        compile_all([(root, missing, CHECKED)])
        compiled = {keys[path]: _bytes(_compiled(root, path)) for path in paths}
        _write(cached, {key: data for key, data in compiled.items() if data})


def _key(root, path):
    return new_sha256(path.encode() + b"\0" + _bytes(os.path.join(root, path))).digest()


def _compiled(root, path):
    folder, name = os.path.split(os.path.join(root, path))
    return os.path.join(folder, "__pycache__", f"{name[:-3]}.{sys.implementation.cache_tag}.pyc")


def _bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return b""


def _read(cached):
    data = _bytes(cached) if cached else b""
    if new_sha256(data[32:]).digest() != data[:32]:
        return {}
    return marshal.loads(data[32:])  # noqa: S302 (as we wrote it)


def _write(cached, compiled):
    data = marshal.dumps(compiled)
    new = f"{cached}.{os.urandom(8).hex()}"
    try:
        if cached:
            os.makedirs(os.path.dirname(cached), mode=0o700, exist_ok=True)
            with open(new, "wb") as file:
                file.write(new_sha256(data).digest() + data)
            os.replace(new, cached)
    except OSError:  # the next release compiles it again
        if os.path.exists(new):
            os.unlink(new)


def sources(site):
    """Yield the Python files of the packages in a folder, as relative paths."""
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
    import py_compile

    folder, paths, mode = job
    invalidation = py_compile.PycInvalidationMode[mode]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in paths:
            py_compile.compile(
                os.path.join(folder, path), dfile=path, quiet=2, optimize=0, invalidation_mode=invalidation
            )

"""The bytes of an artifact: a tar stream in gzip members, the same wherever it is written.

Formats: POSIX ustar/pax (each entry through `tarfile`), RFC 1952 (a gzip file is any number of members).
"""

import contextlib
import hashlib
import os
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import IO

import deflate

from artifact_store.artifact.manifest import MANIFEST_PATH, MTIME, Manifest, Member, encode
from artifact_store.core.errors import FapError
from fapbuild.archive.members import Entry, MemberPlan
from fapbuild.cache import Cache

LEVEL = 6
_KIND = "members-1"
_WORKERS = 4
"""Compressing threads: each takes some 12 MiB of memory, however large the artifact is."""
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Written:
    """A finished artifact: `digest` is the sha256 of its `size` bytes."""

    path: Path
    digest: str
    size: int
    manifest: Manifest


@lru_cache
def compressor() -> str:
    """The library that compresses, with its version: part of what decides the bytes."""
    return f"deflate {metadata.version('deflate')} (libdeflate)"


def write(
    members: Sequence[MemberPlan],
    complete: Callable[[tuple[Member, ...]], Manifest],
    path: Path,
    cache: Cache,
) -> Written:
    """Write the artifact to `path`: complete, or not at all.

    Nobody waits for the disk: who lost power packs again, and a push looks at every byte.

    `complete` makes the manifest, which lists the members after its own. Members of entries whose sha256
    is known come from the cache, or are kept there. Raises FapError if a file is not as long as it was
    when it was planned; OSError if the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as fresh:
        index: list[Member] = []
        kept: list[Path | None] = []
        end = 0
        for made in _compressed(members, cache):
            index.append(Member(end, made.length, made.sha256))
            kept.append(made.kept)
            end += made.length
            if made.kept is None:
                fresh.write(made.data)
        manifest = complete(tuple(index))
        text = encode(manifest)
        first = compress(tar_bytes(Entry(MANIFEST_PATH, 0o644, len(text), text)))
        fresh.seek(0)
        body = (_Part(member.length, where) for member, where in zip(index, kept, strict=True))
        digest = _publish(path, first, body, fresh)
    return Written(path, digest, len(first) + end, manifest)


def compress(data: bytes) -> bytes:
    """One gzip member: no file name, no time, operating system "unknown" (255)."""
    return bytes(deflate.gzip_compress(data, LEVEL))


def tar_bytes(entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes `start` to `stop` of an entry in a tar stream: header, content, zeros up to a block."""
    return b"".join(_tar_parts(entry, start, stop))


def tar_header(entry: Entry) -> bytes:
    """The one function that decides an entry's metadata: constant time, owner 0:0 without a name."""
    info = tarfile.TarInfo(entry.path)
    info.size = entry.size
    info.mtime = MTIME
    info.mode = entry.mode & 0o777
    if isinstance(entry.content, str):
        info.type = tarfile.SYMTYPE
        info.linkname = entry.content
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _tar_parts(entry: Entry, start: int, stop: int | None) -> tuple[bytes, bytes, bytes]:
    header = tar_header(entry)
    end = len(header) + entry.size
    stop = end + -entry.size % _BLOCK if stop is None else stop
    inside = (max(start - len(header), 0), min(max(stop - len(header), 0), entry.size))
    data = header[start:stop]
    content = _content(entry, *inside)
    return data, content, bytes(stop - start - len(data) - len(content))


def _content(entry: Entry, start: int, stop: int) -> bytes:
    if isinstance(entry.content, str) or start >= stop:
        return b""
    if isinstance(entry.content, bytes):
        return entry.content[start:stop]
    with entry.content.open("rb") as file:
        if os.fstat(file.fileno()).st_size != entry.size:
            raise FapError(f"{entry.path} changed while it was packed", hint="run it again")
        file.seek(start)
        data = file.read(stop - start)
    if len(data) != stop - start:
        raise FapError(f"{entry.path} changed while it was packed", hint="run it again")
    return data


@dataclass(frozen=True)
class _Made:
    """A compressed member; its bytes are in the file `kept` of the cache if that is not None."""

    length: int
    sha256: str
    data: bytes
    kept: Path | None


@dataclass(frozen=True)
class _Part:
    """The next `length` bytes of the body: the last ones of the file `kept`, or the next fresh ones."""

    length: int
    kept: Path | None


def _compressed(members: Sequence[MemberPlan], cache: Cache) -> Iterator[_Made]:
    workers = min(os.cpu_count() or 1, _WORKERS)
    waiting: deque[Future[_Made]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for number, member in enumerate(members, 1):
            waiting.append(pool.submit(_made, member, number == len(members), cache))
            # A few members ahead of the disk keep the cores busy and the memory small.
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _made(member: MemberPlan, last: bool, cache: Cache) -> _Made:
    entry = member.entries[0]
    if len(member.entries) > 1 or not entry.sha256:
        data = _member(member, last)
        return _Made(len(data), hashlib.sha256(data).hexdigest(), data, None)
    facts = (compressor(), LEVEL, entry.path, entry.mode, entry.size, entry.sha256, member.start, member.stop)
    question = f"{facts} {last}"
    data, digest = cache.remember(_KIND, question, lambda: _member(member, last))
    return _Made(len(data), digest, b"", cache.result_path(_KIND, question))


def _member(member: MemberPlan, last: bool) -> bytes:
    parts: list[bytes] = []
    for entry in member.entries:
        alone = len(member.entries) == 1
        parts += _tar_parts(entry, member.start, member.stop) if alone else _tar_parts(entry, 0, None)
    if last:
        parts.append(_END)
    data = b"".join(parts)
    parts.clear()
    return compress(data)


def _publish(path: Path, first: bytes, body: Iterable[_Part], fresh: IO[bytes]) -> str:
    digest = hashlib.sha256(first)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(first)
            for part in body:
                for chunk in _read(part, fresh):
                    out.write(chunk)
                    digest.update(chunk)
            os.fchmod(out.fileno(), 0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest.hexdigest()


def _read(part: _Part, fresh: IO[bytes]) -> Iterator[bytes]:
    with contextlib.nullcontext(fresh) if part.kept is None else part.kept.open("rb") as file:
        if part.kept is not None:
            file.seek(-part.length, os.SEEK_END)
        left = part.length
        while left:
            chunk = file.read(min(left, _CHUNK))
            if not chunk:
                raise FapError("the build cache changed while it was read", hint="run it again")
            left -= len(chunk)
            yield chunk

"""Write an artifact: a tar stream in gzip members, with the same bytes on every machine.

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
from artifact_store.core.folders import make_folder
from fapbuild.archive.members import MemberPlan, TarEntry, is_wheel
from fapbuild.cache import Cache

LEVEL = 6
STORED = 0
"""The level of wheels: they are compressed already, and of stored blocks a host can skip what it has."""
_KIND = "members-3"
_WORKERS = 4
"""Threads that compress. Each needs about 12 MiB of memory, however large the artifact is."""
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Artifact:
    """A finished artifact: a file, and what it holds."""

    path: Path
    digest: str
    """The sha256 of the file, in hexadecimal."""
    root: str
    """The sha256 of its first gzip member, in hexadecimal."""
    size: int
    """In bytes."""
    manifest: Manifest

    def facts(self) -> dict[str, object]:
        """The artifact in a few words, for programs: app, version, digest, root, size, path."""
        return {
            "app": self.manifest.app,
            "version": self.manifest.version,
            "digest": self.digest,
            "root": self.root,
            "size": self.size,
            "path": str(self.path),
        }


@lru_cache
def compressor() -> str:
    """The compression library with its version, since both decide the bytes."""
    return f"deflate {metadata.version('deflate')} (libdeflate)"


def write(
    members: Sequence[MemberPlan],
    complete: Callable[[tuple[Member, ...]], Manifest],
    path: Path,
    cache: Cache,
) -> Artifact:
    """Write the artifact to `path`, completely or not at all.

    There is no fsync: after a power cut one packs again, and a push checks every byte.

    The last member is the end mark of the tar. `complete` makes the manifest from the list of the members
    after its own. Members of entries whose
    sha256 is known come from the cache or go into it. Raises FapError if the size of a file has changed
    since it was planned, OSError if the disk is full.
    """
    make_folder(path.parent)
    with tempfile.TemporaryFile(dir=path.parent) as fresh:
        index: list[Member] = []
        sources: list[Path | None] = []
        end = 0
        for member in _compressed(members, cache):
            index.append(Member(member.length, member.sha256, member.begun))
            sources.append(member.cached)
            end += member.length
            if member.cached is None:
                fresh.write(member.data)
        manifest = complete(tuple(index))
        text = encode(manifest)
        first = compress(tar_bytes(TarEntry(MANIFEST_PATH, 0o644, len(text), text)))
        fresh.seek(0)
        body = (_Slice(member.length, cached) for member, cached in zip(index, sources, strict=True))
        digest = _publish(path, first, body, fresh)
    root = hashlib.sha256(first).hexdigest()
    return Artifact(path, digest, root, len(first) + end, manifest)


def compress(data: bytes, level: int = LEVEL) -> bytes:
    """Return one gzip member without file name and time, operating system "unknown" (255)."""
    return bytes(deflate.gzip_compress(data, level))


def tar_bytes(entry: TarEntry, start: int = 0, stop: int | None = None) -> bytes:
    """Bytes `start` to `stop` of an entry in a tar stream: header, content, zeros up to a block."""
    return b"".join(_tar_parts(entry, start, stop))


def tar_header(entry: TarEntry) -> bytes:
    """The tar header of an entry: with a constant time, and owner 0:0 without a name."""
    info = tarfile.TarInfo(entry.path)
    info.size = entry.size
    info.mtime = MTIME
    info.mode = entry.mode & 0o777
    if isinstance(entry.content, str):
        info.type = tarfile.SYMTYPE
        info.linkname = entry.content
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _tar_parts(entry: TarEntry, start: int, stop: int | None) -> tuple[bytes, bytes, bytes]:
    header = tar_header(entry)
    end = len(header) + entry.size
    stop = end + -entry.size % _BLOCK if stop is None else stop
    inside = (max(start - len(header), 0), min(max(stop - len(header), 0), entry.size))
    data = header[start:stop]
    content = _content(entry, *inside)
    return data, content, bytes(stop - start - len(data) - len(content))


def _content(entry: TarEntry, start: int, stop: int) -> bytes:
    if isinstance(entry.content, str) or start >= stop:
        return b""
    if isinstance(entry.content, bytes):
        return entry.content[start:stop]
    with entry.content.open("rb") as file:
        if os.fstat(file.fileno()).st_size != entry.size:
            raise FapError(f"{entry.path} changed while it was being packed", hint="run it again")
        file.seek(start)
        data = file.read(stop - start)
    if len(data) != stop - start:
        raise FapError(f"{entry.path} changed while it was being packed", hint="run it again")
    return data


@dataclass(frozen=True)
class _CompressedMember:
    """A compressed member. Its bytes are in `data`, or at the end of the file `cached`."""

    length: int
    sha256: str
    begun: int
    """The number of entries that begin in it."""
    data: bytes
    cached: Path | None


@dataclass(frozen=True)
class _Slice:
    """`length` bytes of the body: the last bytes of the file `cached`, or the next fresh ones."""

    length: int
    cached: Path | None


def _compressed(members: Sequence[MemberPlan], cache: Cache) -> Iterator[_CompressedMember]:
    workers = min(os.cpu_count() or 1, _WORKERS)
    waiting: deque[Future[_CompressedMember]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for member in members:
            waiting.append(pool.submit(_compress_member, member, cache))
            # A few members ahead of the disk keep the cores busy and the memory small.
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    yield _fresh(compress(_END), 0)


def _compress_member(member: MemberPlan, cache: Cache) -> _CompressedMember:
    entry = member.entries[0]
    if len(member.entries) > 1 or not entry.sha256:
        return _fresh(_member_bytes(member), member.begun)
    facts = (compressor(), LEVEL, entry.path, entry.mode, entry.size, entry.sha256, member.start, member.stop)
    question = f"{facts}"
    data, digest = cache.remember(_KIND, question, lambda: _member_bytes(member))
    return _CompressedMember(len(data), digest, member.begun, b"", cache.result_path(_KIND, question))


def _fresh(data: bytes, begun: int) -> _CompressedMember:
    return _CompressedMember(len(data), hashlib.sha256(data).hexdigest(), begun, data, None)


def _member_bytes(member: MemberPlan) -> bytes:
    parts: list[bytes] = []
    for entry in member.entries:
        alone = len(member.entries) == 1
        parts += _tar_parts(entry, member.start, member.stop) if alone else _tar_parts(entry, 0, None)
    data = b"".join(parts)
    parts.clear()
    return compress(data, STORED if is_wheel(member.entries[0].path) else LEVEL)


def _publish(path: Path, first: bytes, body: Iterable[_Slice], fresh: IO[bytes]) -> str:
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


def _read(part: _Slice, fresh: IO[bytes]) -> Iterator[bytes]:
    with contextlib.nullcontext(fresh) if part.cached is None else part.cached.open("rb") as file:
        if part.cached is not None:
            file.seek(-part.length, os.SEEK_END)
        remaining = part.length
        while remaining:
            chunk = file.read(min(remaining, _CHUNK))
            if not chunk:
                raise FapError("the build cache changed while it was being read", hint="run it again")
            remaining -= len(chunk)
            yield chunk

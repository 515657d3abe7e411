"""Write an artifact: a tar stream in gzip members, with the same bytes on every machine.

Formats: POSIX ustar/pax (each entry through `tarfile`), RFC 1952 (a gzip file is any number of members).
"""

import hashlib
import os
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import deflate

from artifact_store.artifact.manifest import MANIFEST_PATH, MTIME, Manifest, Member, encode
from artifact_store.core.errors import FapError
from artifact_store.core.folders import make_folder
from fapbuild.archive.joining import Part, join
from fapbuild.archive.members import MemberPlan, TarEntry, is_wheel
from fapbuild.cache import Cache, sha256_of

LEVEL = 6
STORED = 0
"""The level of wheels: they are compressed already, and of stored blocks a host can skip what it has."""
_KIND = "member-4"
_WORKERS = 4
"""Threads that compress. Each needs about 12 MiB of memory, however large the artifact is."""
_BLOCK = 512
_END = bytes(2 * _BLOCK)
_BLOCK_OF_DISK = 4096
"""Wheels begin and end at multiples of this, so that file systems can share their blocks."""
_HAS_COMMENT = b"\x10"
"""The flag of a gzip member with a comment."""


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
    after its own. Members of entries whose sha256 is known come from the cache or go into it. Raises FapError
    if the size of a file has changed since it was planned, OSError if the disk is full.
    """
    make_folder(path.parent)
    with tempfile.TemporaryFile(dir=path.parent) as fresh:
        index: list[Member] = []
        body: list[Part] = []
        fresh_end = 0
        for member in _compressed(members, cache):
            index.append(Member(member.length, member.sha256, member.begun))
            if member.cached is None:
                fresh.write(member.data)
                body.append(Part(fresh.fileno(), fresh_end, member.length))
                fresh_end += member.length
            else:
                body.append(Part(member.cached, 0, member.length))
        fresh.flush()
        manifest = complete(tuple(index))
        text = encode(manifest)
        first = compress(tar_bytes(TarEntry(MANIFEST_PATH, 0o644, len(text), text)))
        # So the wheels, which come next, begin at a block of the file system.
        first = _padded(first, sum(_sizes_of_code(members, index)))
        digest = join(path, first, body)
    root = hashlib.sha256(first).hexdigest()
    return Artifact(path, digest, root, len(first) + manifest.offsets[-1], manifest)


def compress(data: bytes, level: int = LEVEL) -> bytes:
    """Return one gzip member without file name and time, operating system "unknown" (255)."""
    return bytes(deflate.gzip_compress(data, level))


def _padded(member: bytes, before: int = 0) -> bytes:
    """A gzip member with padding, so that it ends at a multiple of _BLOCK_OF_DISK if it follows `before`
    bytes. The padding is a comment of spaces (RFC 1952), which readers pass over; tarfile can't read an extra
    field."""
    spaces = -(before + len(member) + 1) % _BLOCK_OF_DISK
    return member[:3] + _HAS_COMMENT + member[4:10] + b" " * spaces + b"\0" + member[10:]


def _sizes_of_code(members: Sequence[MemberPlan], index: Sequence[Member]) -> Iterator[int]:
    for plan, member in zip(members, index, strict=False):
        if not is_wheel(plan.entries[0].path):
            yield member.length


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
    """A compressed member. Its bytes are in `data`, or in the file `cached`."""

    length: int
    sha256: str
    begun: int
    """The number of entries that begin in it."""
    data: bytes
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
    kept = cache.keep(_KIND, f"{facts}", lambda: _checked_bytes(member, entry))
    path = cache.path(kept.sha256)
    return _CompressedMember(path.stat().st_size, kept.sha256, member.begun, b"", path)


def _checked_bytes(member: MemberPlan, entry: TarEntry) -> bytes:
    if isinstance(entry.content, Path):
        _check_intact(entry.content, entry.sha256, entry.path)
    return _member_bytes(member)


@lru_cache
def _check_intact(file: Path, sha256: str, path: str) -> None:
    """Check a file once, as each piece of it is compressed by itself. An error is not remembered."""
    if sha256_of(file) != sha256:
        file.unlink(missing_ok=True)
        raise FapError(f"the cached copy of {path} was damaged, and is removed", hint="run it again")


def _fresh(data: bytes, begun: int) -> _CompressedMember:
    return _CompressedMember(len(data), hashlib.sha256(data).hexdigest(), begun, data, None)


def _member_bytes(member: MemberPlan) -> bytes:
    parts: list[bytes] = []
    for entry in member.entries:
        alone = len(member.entries) == 1
        parts += _tar_parts(entry, member.start, member.stop) if alone else _tar_parts(entry, 0, None)
    data = b"".join(parts)
    parts.clear()
    if is_wheel(member.entries[0].path):
        return _padded(compress(data, STORED))
    return compress(data)

"""The bytes of an artifact: a tar stream in gzip members, the same wherever it is written.

Formats: POSIX ustar/pax (each entry through `tarfile`), RFC 1952 (a gzip file is any number of members).
"""

import hashlib
import io
import os
import tarfile
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO

import deflate

from artifact_store.errors import FapError
from artifact_store.manifest import MTIME, PATH, Manifest, Member, encode
from fapbuild.plan import Entry, MemberPlan

LEVEL = 6
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


def compressor() -> str:
    """The library that compresses, with its version: part of what decides the bytes."""
    return f"deflate {metadata.version('deflate')} (libdeflate)"


def write(
    members: Sequence[MemberPlan], complete: Callable[[tuple[Member, ...]], Manifest], path: Path
) -> Written:
    """Write the artifact to `path`: complete and on disk, or not at all.

    `complete` makes the manifest, which lists the members after its own. Raises FapError if a file is
    not as long as it was when it was planned; OSError if the disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path.parent) as body:
        index: list[Member] = []
        for data in _compressed(members):
            index.append(Member(body.tell(), len(data), hashlib.sha256(data).hexdigest()))
            body.write(data)
        manifest = complete(tuple(index))
        text = encode(manifest)
        first = compress(tar_bytes(Entry(PATH, 0o644, len(text), text)))
        body.seek(0)
        digest, size = _publish(path, first, body)
    return Written(path, digest, size, manifest)


def compress(data: bytes) -> bytes:
    """One gzip member: no file name, no time, operating system "unknown" (255)."""
    return bytes(deflate.gzip_compress(data, LEVEL))


def tar_bytes(entry: Entry, start: int = 0, stop: int | None = None) -> bytes:
    """The bytes `start` to `stop` of an entry in a tar stream: header, content, zeros up to a block."""
    header = tar_header(entry)
    end = len(header) + entry.size
    stop = end + -entry.size % _BLOCK if stop is None else stop
    inside = (max(start - len(header), 0), min(max(stop - len(header), 0), entry.size))
    data = header[start:stop] + _content(entry, *inside)
    return data + bytes(stop - start - len(data))


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


def _compressed(members: Sequence[MemberPlan]) -> Iterator[bytes]:
    workers = os.cpu_count() or 1
    waiting: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for number, member in enumerate(members, 1):
            waiting.append(pool.submit(_member, member, number == len(members)))
            # A few members ahead of the disk keep the cores busy and the memory small.
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _member(member: MemberPlan, last: bool) -> bytes:
    data = io.BytesIO()
    if len(member.entries) == 1:
        data.write(tar_bytes(member.entries[0], member.start, member.stop))
    else:
        for entry in member.entries:
            data.write(tar_bytes(entry))
    if last:
        data.write(_END)
    return compress(data.getvalue())


def _publish(path: Path, first: bytes, body: IO[bytes]) -> tuple[str, int]:
    digest = hashlib.sha256(first)
    size = len(first)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(first)
            while chunk := body.read(_CHUNK):
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            out.flush()
            os.fchmod(out.fileno(), 0o644)
            os.fsync(out.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return digest.hexdigest(), size

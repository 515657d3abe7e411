"""Joins parts of files to one file. The bytes are copied inside the kernel, and hashed at the same time.

On a file system that can share blocks (btrfs, xfs), parts that begin and end at blocks are not even copied:
copy_file_range(2) shares them.
"""

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from artifact_store.core.errors import FapError

_CHUNK = 1 << 20
_NOT_IN_KERNEL = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.EIO}
"""The errors of copy_file_range for files that it can't copy; some network file systems say EIO."""


@dataclass(frozen=True)
class Part:
    """`length` bytes of a file from `offset` on."""

    file: Path | int
    """A path, or the descriptor of an open file."""
    offset: int
    length: int


def join(path: Path, first: bytes, parts: Sequence[Part]) -> str:
    """Write `first` and the parts to a file, completely or not at all; return the sha256 of all.

    Raises FapError if a part has fewer bytes, OSError if the disk is full.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as out, ThreadPoolExecutor(1) as pool:
            out.write(first)
            out.flush()
            copying = pool.submit(_copy_all, parts, out.fileno())
            digest = _digest(first, parts)
            copying.result()
            os.fchmod(out.fileno(), 0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _copy_all(parts: Sequence[Part], target: int) -> None:
    for part in parts:
        with _opened(part) as source:
            copied = 0
            while copied < part.length:
                count = _copy(source, target, part.length - copied, part.offset + copied)
                if not count:
                    raise _changed()
                copied += count


def _copy(source: int, target: int, length: int, offset: int) -> int:
    """Copy at most `length` bytes to the place of the target; return how many."""
    try:
        # Some kernels copy nothing, and report no error.
        if count := os.copy_file_range(source, target, length, offset):
            return count
    except AttributeError:  # not Linux
        pass
    except OSError as error:
        if error.errno not in _NOT_IN_KERNEL:
            raise
    return os.write(target, os.pread(source, min(length, _CHUNK), offset))


def _digest(first: bytes, parts: Sequence[Part]) -> str:
    digest, buffer = hashlib.sha256(first), bytearray(_CHUNK)
    for part in parts:
        with _opened(part) as source:
            done = 0
            while done < part.length:
                view = memoryview(buffer)[: min(_CHUNK, part.length - done)]
                count = os.preadv(source, [view], part.offset + done)
                if not count:
                    raise _changed()
                digest.update(view[:count])
                done += count
    return digest.hexdigest()


@contextlib.contextmanager
def _opened(part: Part) -> Iterator[int]:
    if isinstance(part.file, int):
        yield part.file
        return
    with part.file.open("rb", buffering=0) as file:
        yield file.fileno()


def _changed() -> FapError:
    return FapError("the build cache changed while it was being read", hint="run it again")

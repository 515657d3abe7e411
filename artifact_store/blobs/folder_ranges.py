"""Write a file, of which other files of its file system have ranges: the kernel copies these.

copy_file_range(2) shares the blocks of both files where the file system has reflinks (XFS, Btrfs) and both
offsets are multiples of its block size; otherwise it copies without a way through this process.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from io import BufferedRandom
from pathlib import Path
from typing import BinaryIO

from artifact_store.blobs.parts import Range
from artifact_store.blobs.protocol import CopyError

_CHUNK = 1 << 20


def fill(
    target: BufferedRandom, file: BinaryIO, sha256: str, ranges: Iterable[Range], sources: Mapping[str, Path]
) -> None:
    """Write the content of `file` to the empty `target`; `sources` are the files of the ranges' keys.

    Raises CopyError if a range can't be copied, or the result has another sha256.
    """
    done = 0
    for one in ranges:
        _write(target, file, done, one.start - done)
        _copy(target, sources[one.key], one)
        done = one.end
    _write(target, file, done, file.seek(0, os.SEEK_END) - done)
    target.seek(0)
    if hashlib.file_digest(target, "sha256").hexdigest() != sha256:
        raise CopyError("the copied ranges have other bytes")


def _write(target: BufferedRandom, file: BinaryIO, start: int, length: int) -> None:
    file.seek(start)
    target.seek(start)
    while length and (data := file.read(min(length, _CHUNK))):
        target.write(data)
        length -= len(data)
    target.flush()


def _copy(target: BufferedRandom, path: Path, one: Range) -> None:
    done = 0
    try:
        with path.open("rb") as source:
            while done < one.length:
                copied = os.copy_file_range(
                    source.fileno(), target.fileno(), one.length - done, one.offset + done, one.start + done
                )
                if not copied:
                    raise CopyError(f"{path} is too short")
                done += copied
    except (OSError, AttributeError) as error:  # only Linux has copy_file_range
        why = error.strerror if isinstance(error, OSError) else "this system has no copy_file_range"
        raise CopyError(f"a range of {path} can't be copied: {why}") from error

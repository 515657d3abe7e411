"""Divide a file into the parts of an upload: sent, or copied from an object that has the same bytes.

A part has at least 5 MiB, but the last; there are at most 10 000 (Amazon S3 User Guide, "Multipart upload
limits"). Pure functions.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

LEAST = 5 << 20
_MOST_PARTS = 10_000
_COPIED = 64 << 20
"""The least size of a copied part, in bytes: large, as each is a request, but several are copied at once."""


@dataclass(frozen=True)
class Range:
    """Bytes of a new object that another object has, too. Sizes and offsets are in bytes."""

    start: int
    """Where they begin in the new object."""
    length: int
    key: str
    """The key of the other object."""
    offset: int
    """Where they begin in the other object."""

    @property
    def end(self) -> int:
        """Where they end in the new object."""
        return self.start + self.length

    def cut(self, start: int, length: int) -> "Range":
        """The `length` bytes from `start`, an offset in the new object, on."""
        return Range(start, length, self.key, self.offset + start - self.start)


@dataclass(frozen=True)
class Part:
    """A part of an upload."""

    start: int
    length: int
    copied: Range | None = None
    """The same bytes in another object; None for a part that is sent."""


def divide(size: int, ranges: Iterable[Range] = ()) -> tuple[Part, ...]:
    """Divide a file of `size` bytes, of which other objects have `ranges`: in order, none over another.

    What is too short to be a part of its own is sent with its neighbours.
    """
    least = max(LEAST, math.ceil(size / _MOST_PARTS))
    parts: list[Part] = []
    done = 0
    for one in ranges:
        start = one.start if one.start == done else max(one.start, done + least)
        if one.end - start < (1 if one.end == size else least):
            continue
        parts += [Part(*place) for place in _cut(done, start, least, size)]
        for at, length in _cut(start, one.end, max(least, _COPIED), size):
            parts.append(Part(at, length, one.cut(at, length)))
        done = one.end
    return (*parts, *(Part(*place) for place in _cut(done, size, least, size)))


def sent(parts: Iterable[Part]) -> int:
    """The number of bytes in parts that are sent."""
    return sum(part.length for part in parts if part.copied is None)


def _cut(start: int, end: int, length: int, size: int) -> Iterator[tuple[int, int]]:
    """The offsets and lengths of pieces of `length` bytes; only at the end of the file, one is shorter."""
    edges = [*range(start, end, length), end]
    if end < size and len(edges) > 2 and end - edges[-2] < length:
        del edges[-2]
    for at, next_ in pairwise(edges):
        yield at, next_ - at

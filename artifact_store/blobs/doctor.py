"""Find out what a store really does: `fapstore doctor`. Whatever it writes is below `_doctor/`, and removed.

A promise that is only documented is not believed: each key is created twice, by several writers at once.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta
from typing import BinaryIO

from artifact_store.blobs import bucket_rules
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import ConflictError, FapError, StoreError
from artifact_store.core.finding import Finding

PREFIX = "_doctor/"
_WRITERS = 6
_LARGE = 6 << 20  # an upload of two parts
_SKEW = timedelta(minutes=5)  # S3 refuses requests from 15 minutes on
_OLD = timedelta(days=1)
_OVERWRITES = (
    "don't promote here: two promotions at once could both succeed and one be lost; use a store that honours "
    "If-None-Match (Amazon S3, SeaweedFS from 4.48, Ceph RGW)"
)


def examine(blobs: Blobs, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Look at the store and say, one by one, what is right and what is not; `now` is this machine's clock.

    Raises UnreachableError if it can't be reached. Nothing of an app is read or written.
    """
    if not blobs.can_write:
        yield Finding("writing", "note", "read-only, so nothing can be pushed or promoted through this URL")
        return
    prefix = f"{PREFIX}{secrets.token_hex(8)}/"
    try:
        yield from _probes(blobs, prefix, now)
    except StoreError as error:
        yield Finding("access", "wrong", error.message, error.hint)
    finally:
        gone = _clean(blobs, prefix)
    yield gone
    yield from _unfinished(blobs, now())
    yield from bucket_rules.findings(blobs.settings())


def _probes(blobs: Blobs, prefix: str, now: Callable[[], datetime]) -> Iterator[Finding]:
    key = f"{prefix}small"
    before = now()
    blobs.create(key, b"first")
    after = now()
    yield Finding("writing", "right", "objects can be created")
    yield _once("create-only", "objects", blobs, key, b"second")
    yield _race("create-only, at once", "objects", blobs, f"{prefix}race")
    with tempfile.TemporaryFile() as large:
        large.truncate(_LARGE)
        yield _once("create-only, large", "uploads in parts", blobs, key, large)
    listed = {blob.key: blob.modified for blob in blobs.listing(prefix)}
    if key not in listed:
        yield Finding(
            "listing", "wrong", "a new object is not listed", "use a store with consistent listings"
        )
        return
    yield Finding("listing", "right", "a new object is listed at once")
    yield _clock(listed[key], before, after)


def _once(check: str, what: str, blobs: Blobs, key: str, other: bytes | BinaryIO) -> Finding:
    """Whether `key`, which holds b"first", stays so when something else is created there."""
    with suppress(ConflictError):
        blobs.create(key, other)
        return Finding(check, "wrong", f"{what} are overwritten", _OVERWRITES)
    if blobs.get(key) != b"first":
        return Finding(check, "wrong", f"{what} are refused and overwritten all the same", _OVERWRITES)
    return Finding(check, "right", f"{what} are never overwritten")


def _race(check: str, what: str, blobs: Blobs, key: str) -> Finding:
    bodies = [b"writer %d" % number for number in range(_WRITERS)]

    def wins(body: bytes) -> bool:
        try:
            blobs.create(key, body)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(_WRITERS) as pool:
        winners = [body for body, won in zip(bodies, pool.map(wins, bodies), strict=True) if won]
    if winners != [blobs.get(key)]:
        return Finding(check, "wrong", f"of {_WRITERS} writers at once {len(winners)} succeed", _OVERWRITES)
    return Finding(check, "right", f"of {_WRITERS} writers at once one succeeds")


def _clock(stored: datetime, before: datetime, after: datetime) -> Finding:
    # the store may tell whole seconds
    skew = max(before - stored - timedelta(seconds=1), stored - after, timedelta())
    if skew > _SKEW:
        return Finding(
            "clock",
            "wrong",
            f"this machine's clock and the store's are {int(skew.total_seconds())} s apart",
            "set this clock: timedatectl set-ntp true",
        )
    return Finding("clock", "right", "this machine's clock and the store's agree")


def _clean(blobs: Blobs, prefix: str) -> Finding:
    try:
        for key in list(blobs.keys(prefix)):
            blobs.delete(key)
    except FapError as error:
        return Finding(
            "deleting",
            "note",
            f"nothing can be deleted ({error.message}), so the probes stay in {prefix}",
            "right for CI and hosts; who runs `fapstore gc` needs s3:DeleteObject",
        )
    return Finding("deleting", "right", "objects can be deleted; the probes are gone")


def _unfinished(blobs: Blobs, now: datetime) -> Iterator[Finding]:
    try:
        old = [left for left in blobs.unfinished("") if left.started < now - _OLD]
    except StoreError as error:
        yield Finding("unfinished uploads", "note", f"can't be listed ({error.message})", error.hint)
        return
    if old:
        size = sum(left.size for left in old)
        yield Finding(
            "unfinished uploads",
            "note",
            f"{len(old)} from killed pushes, over a day old, take {size / 1e6:.1f} MB",
            "fapstore gc APP",
        )
    else:
        yield Finding("unfinished uploads", "right", "none is over a day old")

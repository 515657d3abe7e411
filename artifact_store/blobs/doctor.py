"""Test what a store guarantees: `fapstore doctor`. Test objects are below `_doctor/`, and are removed.

The create-only guarantee is tested, not assumed: keys are created twice, and by several writers at once.
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
from artifact_store.blobs.s3_errors import OverwritingError
from artifact_store.core import text
from artifact_store.core.errors import ConflictError, FapError, StoreError
from artifact_store.core.finding import Finding

PREFIX = "_doctor/"
_WRITERS = 6
_LARGE = 6 << 20  # an upload of two parts
_SKEW = timedelta(minutes=5)  # S3 refuses requests from 15 minutes on
_OLD = timedelta(days=1)
_OVERWRITES = (
    "don't promote here: one of two simultaneous promotions could be lost; use a store that supports "
    "If-None-Match (Amazon S3, SeaweedFS from 4.48, Ceph RGW)"
)


def examine(blobs: Blobs, now: Callable[[], datetime]) -> Iterator[Finding]:
    """Run all checks, one by one; `now` is this machine's clock.

    Raises UnreachableError if there is no connection. Reads and writes no object of an app.
    """
    if not blobs.can_write:
        yield Finding("writing", "note", "this URL is read-only: no pushes or promotions")
        return
    prefix = f"{PREFIX}{secrets.token_hex(8)}/"
    try:
        yield from _probes(blobs, prefix, now)
    except OverwritingError as error:
        yield Finding("create-only", "wrong", error.message, error.hint)
    except StoreError as error:
        yield Finding("access", "wrong", error.message, error.hint)
    finally:
        deleting = _clean(blobs, prefix)
    yield deleting
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
    times = {blob.key: blob.modified for blob in blobs.listing(prefix)}
    if key not in times:
        yield Finding(
            "listing", "wrong", "a new object is not listed", "use a store with consistent listings"
        )
        return
    yield Finding("listing", "right", "a new object is listed immediately")
    yield _clock(times[key], before, after)


def _once(check: str, what: str, blobs: Blobs, key: str, other: bytes | BinaryIO) -> Finding:
    """Check that `key`, whose content is b"first", does not change when it is created again."""
    with suppress(ConflictError):
        blobs.create(key, other)
        return Finding(check, "wrong", f"{what} can be overwritten", _OVERWRITES)
    if blobs.get(key) != b"first":
        return Finding(check, "wrong", f"{what} are overwritten although the write is refused", _OVERWRITES)
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
        return Finding(
            check, "wrong", f"of {_WRITERS} simultaneous writers, {len(winners)} succeed", _OVERWRITES
        )
    return Finding(check, "right", f"of {_WRITERS} simultaneous writers, one succeeds")


def _clock(stored: datetime, before: datetime, after: datetime) -> Finding:
    # the store may round times to seconds
    skew = max(before - stored - timedelta(seconds=1), stored - after, timedelta())
    if skew > _SKEW:
        return Finding(
            "clock",
            "wrong",
            f"the clocks of this machine and the store differ by {int(skew.total_seconds())} s",
            "set the clock: timedatectl set-ntp true",
        )
    return Finding("clock", "right", "the clocks of this machine and the store agree")


def _clean(blobs: Blobs, prefix: str) -> Finding:
    try:
        for key in list(blobs.keys(prefix)):
            blobs.delete(key)
    except FapError as error:
        return Finding(
            "deleting",
            "note",
            f"objects can't be deleted ({error.message}); test objects remain in {prefix}",
            "fine for CI and hosts; `fapstore gc` needs s3:DeleteObject",
        )
    return Finding("deleting", "right", "objects can be deleted; test objects are removed")


def _unfinished(blobs: Blobs, now: datetime) -> Iterator[Finding]:
    try:
        old = [upload for upload in blobs.unfinished("") if upload.started < now - _OLD]
    except StoreError as error:
        yield Finding("unfinished uploads", "note", f"they can't be listed ({error.message})", error.hint)
        return
    if old:
        size = sum(upload.size for upload in old)
        yield Finding(
            "unfinished uploads",
            "note",
            f"{len(old)} older than a day use {text.size(size)}",
            "fapstore gc APP",
        )
    else:
        yield Finding("unfinished uploads", "right", "none older than a day")

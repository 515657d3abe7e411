"""Test what a store guarantees: `fapstore doctor`. Test objects are below `_doctor/`, and are removed.

The create-only guarantee is tested, not assumed: keys are created twice, and by several writers at once.
Uploads in parts are created twice, and not at once: no two jobs ever write the same large object.
"""

import hashlib
import secrets
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier
from typing import BinaryIO, Literal

from artifact_store.blobs import bucket_rules
from artifact_store.blobs.parts import Range
from artifact_store.blobs.protocol import Blobs, CopyError
from artifact_store.blobs.s3_errors import OverwritingError
from artifact_store.core import text
from artifact_store.core.errors import ConflictError, FapError, StoreError
from artifact_store.core.finding import Finding

PREFIX = "_doctor/"
_WRITERS = 6
_ROUNDS = 20
_ROUNDS_AT_ONCE = 5  # SeaweedFS lets the losers of a round wait for seconds
_SKEW = timedelta(minutes=5)  # S3 refuses requests from 15 minutes on
_OLD = timedelta(days=1)


_OVERWRITES = (
    "don't promote here: one of two simultaneous promotions could be lost; use a store that supports "
    "If-None-Match (Amazon S3, SeaweedFS from 4.48, Ceph RGW)"
)
_ONLY_LARGE = "pushes and promotions are safe: no two pushes write one key, and stages are small objects"


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
        deleting = list(_clean(blobs, prefix))
    yield from deleting
    yield from _unfinished(blobs, now())
    yield from bucket_rules.findings(blobs.settings())


def _probes(blobs: Blobs, prefix: str, now: Callable[[], datetime]) -> Iterator[Finding]:
    key = f"{prefix}small"
    before = now()
    blobs.create(key, b"first")
    after = now()
    yield Finding("writing", "right", "objects can be created")
    small = _overwritten(blobs, key, b"second")
    yield _create_only("create-only", "objects", small, "wrong", _OVERWRITES)
    yield _race(blobs, f"{prefix}race-")
    with tempfile.TemporaryFile() as file:
        file.write(b"third")
        file.flush()
        large = _overwritten(blobs.in_parts(), key, file)
    if small:
        yield _create_only("create-only, large", "uploads in parts", large, "wrong", _OVERWRITES)
    else:
        yield _create_only("create-only, large", "uploads in parts", large, "note", _ONLY_LARGE)
    yield _copies(blobs, f"{prefix}source", f"{prefix}copy")
    yield _known(blobs)
    times = {blob.key: blob.modified for blob in blobs.listing(prefix)}
    if key not in times:
        yield Finding(
            "listing", "wrong", "a new object is not listed", "use a store with consistent listings"
        )
        return
    yield Finding("listing", "right", "a new object is listed immediately")
    yield _clock(times[key], before, after)


def _create(blobs: Blobs, key: str, content: bytes | BinaryIO) -> bool:
    """Create an object; False if the storage refuses it as existing."""
    try:
        blobs.create(key, content)
    except ConflictError:
        return False
    return True


def _overwritten(blobs: Blobs, key: str, content: bytes | BinaryIO) -> str:
    """How `key`, whose content is b"first", changes when it is created again; empty if it does not."""
    if _create(blobs, key, content):
        return "can be overwritten"
    return "" if blobs.get(key) == b"first" else "are overwritten although the write is refused"


def _create_only(
    check: str, what: str, overwritten: str, verdict: Literal["note", "wrong"], advice: str
) -> Finding:
    if overwritten:
        return Finding(check, verdict, f"{what} {overwritten}", advice)
    return Finding(check, "right", f"{what} are never overwritten")


def _race(blobs: Blobs, prefix: str) -> Finding:
    """Let several writers create one key at the same moment, in many rounds: some servers rarely fail."""
    bodies = [b"writer %d" % number for number in range(_WRITERS)]

    def wins(together: Barrier, key: str, body: bytes) -> bool:
        together.wait()
        return _create(blobs, key, body)

    keys = [f"{prefix}{number}" for number in range(_ROUNDS)]
    with ThreadPoolExecutor(_WRITERS * _ROUNDS_AT_ONCE) as pool:
        rounds = [pool.map(partial(wins, Barrier(_WRITERS), key), bodies) for key in keys]
        winners = [[body for body, won in zip(bodies, one, strict=True) if won] for one in rounds]
    wrong = sum(won != [blobs.get(key)] for won, key in zip(winners, keys, strict=True))
    check = "create-only, at once"
    if wrong:
        says = f"in {wrong} of {_ROUNDS} rounds, not exactly one of {_WRITERS} simultaneous writers succeeded"
        return Finding(check, "wrong", says, _OVERWRITES)
    says = f"in {_ROUNDS} of {_ROUNDS} rounds, one of {_WRITERS} simultaneous writers succeeded"
    return Finding(check, "right", says)


def _copies(blobs: Blobs, source: str, target: str) -> Finding:
    """Copy an object, as a push copies ranges of other versions."""
    content = b"source"
    blobs.create(source, content)
    try:
        with tempfile.TemporaryFile() as file:
            file.write(content)
            file.flush()
            digest = hashlib.sha256(content).hexdigest()
            blobs.create_with(target, file, digest, [Range(0, len(content), source, 0)])
    except CopyError as error:
        return Finding(
            "copies",
            "note",
            f"each push uploads the whole artifact ({error.message})",
            "nothing, if that is fast enough; otherwise use a store that has UploadPartCopy",
        )
    return Finding("copies", "right", "a push copies inside the store what the last versions have")


def _known(blobs: Blobs) -> Finding:
    if blobs.is_atomic:
        return Finding("promotions", "right", "this storage is known to let exactly one writer succeed")
    return Finding(
        "promotions",
        "note",
        "this server was not measured: each promotion reads its entry again after a second",
        "nothing, if promotions may take a second; docs/reference/store.md lists the measured servers",
    )


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


def _clean(blobs: Blobs, prefix: str) -> Iterator[Finding]:
    """Delete the test objects; no finding if there are none, since nothing could be created."""
    try:
        keys = list(blobs.keys(prefix))
        for key in keys:
            blobs.delete(key)
    except FapError as error:
        yield Finding(
            "deleting",
            "note",
            f"objects can't be deleted ({error.message}); test objects remain in {prefix}",
            "fine for CI and hosts; `fapstore gc` needs s3:DeleteObject",
        )
        return
    if keys:
        yield Finding("deleting", "right", "objects can be deleted; test objects are removed")


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

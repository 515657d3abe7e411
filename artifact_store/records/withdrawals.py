"""The withdrawal of a version: no stage takes it any more. Its bytes stay, and so do stages that have it.

    <app>/artifacts/<version>/withdrawn/00000001.json

It is an envelope, which is signed as an entry of a stage's log is. The numbers are for readers that can't
list the store. A stranger's object takes a number, and hides nothing.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import count
from typing import Literal

import msgspec

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.protocol import Blobs, has_all_keys, keep
from artifact_store.core.errors import ConflictError, NotFoundError, VerificationError
from artifact_store.records import keys

_MOST = 1000
"""The most objects that are read in a store that can't be listed."""


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A statement: no stage shall take the version with this sha256."""

    app: str
    version: str
    digest: str
    withdrawn: Literal[True] = True
    """No other statement has this field, so none counts as a withdrawal."""
    who: str
    why: str
    at: datetime
    """In UTC, by the writer's clock."""
    ci: str
    """The URL of the CI run that wrote it, or empty."""
    operation: str
    """The writer's random id."""


def write(blobs: Blobs, artifact: ArtifactId, sealed: bytes) -> None:
    """Write a sealed withdrawal under the first free number, unless it is there already."""
    for number in count(1):
        try:
            keep(blobs, keys.withdrawal(artifact, number), sealed)
        except (ConflictError, VerificationError):  # the number is taken, maybe by a large object
            continue
        return


def read(blobs: Blobs, artifact: ArtifactId) -> Iterator[tuple[str, bytes]]:
    """The key and the bytes of each object that may be a withdrawal of a version.

    Raises StoreError if a store that can't be listed seems to have all keys.
    """
    numbered = (keys.withdrawal(artifact, number) for number in range(1, _MOST + 1))
    for key in blobs.keys(keys.withdrawals(artifact)) if blobs.can_list else numbered:
        try:
            yield key, blobs.get(key)
        except VerificationError:  # too large to be one
            continue
        except NotFoundError:
            if not blobs.can_list:
                return
    if not blobs.can_list:
        raise has_all_keys(blobs)

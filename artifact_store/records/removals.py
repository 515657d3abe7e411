"""The mark of gc on a version, written before its bytes are deleted and kept afterwards.

Each run of gc writes its own marks and takes back only those, so any number of runs may work at once.
A promotion looks for marks after it wrote its entry, and gc reads the logs after it wrote its marks: so at
least one of the two sees the other.
"""

import msgspec

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import NotFoundError, StoreError, VerificationError
from artifact_store.records import keys


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A version, and the run of gc that removes or removed it."""

    app: str
    version: str
    by: Stamp
    """The run of gc; its time is when it started."""


def encode(removal: Removal) -> bytes:
    """Encode a mark."""
    return msgspec.json.encode(removal) + b"\n"


def find(blobs: Blobs, artifact: ArtifactId) -> Removal | None:
    """Read a mark of the version; None if there is none, or the store can't be listed.

    Raises VerificationError if it can't be read.
    """
    if not blobs.can_list:
        return None
    for key in blobs.keys(keys.removals(artifact)):
        try:
            data = blobs.get(key)
        except NotFoundError:
            continue  # taken back meanwhile
        try:
            return msgspec.json.decode(data, type=Removal)
        except msgspec.MsgspecError as error:
            raise VerificationError(
                f"{blobs.name}: {key} can't be read: {error}", hint="was it written by fapstore?"
            ) from error
    return None


def refusal(removal: Removal) -> StoreError:
    """The error for using a version that is or was removed."""
    return StoreError(
        f"{removal.app} {removal.version} was removed with `fapstore gc` by {removal.by.who} "
        f"at {removal.by.at:%Y-%m-%d %H:%M} UTC",
        hint="check out its commit and pack it with a new --version; version numbers are never reused",
    )

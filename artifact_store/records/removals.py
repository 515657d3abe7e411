"""A version's removal: gc's mark beside it, written before its bytes are deleted and kept afterwards.

Each run of gc writes marks of its own and takes back only those, so any number of runs may work at once.
Whoever makes a stage refer to a version looks for marks after having written the entry, and gc reads the
logs after having written its marks: one of the two sees the other.
"""

import msgspec

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.actor import Stamp
from artifact_store.core.errors import NotFoundError, StoreError, VerificationError
from artifact_store.records import keys


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A version, and the run of gc that removes it or did."""

    app: str
    version: str
    by: Stamp
    """Of that run; its time is when it began."""


def encode(removal: Removal) -> bytes:
    """The bytes of a mark."""
    return msgspec.json.encode(removal) + b"\n"


def find(blobs: Blobs, artifact: ArtifactId) -> Removal | None:
    """A mark of the version, or None if there is none or the place can't be listed.

    Raises VerificationError for what is no mark.
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
    """The error for who wants to use a version that is or was removed."""
    return StoreError(
        f"{removal.app} {removal.version} was removed by `fapstore gc` of {removal.by.who} "
        f"at {removal.by.at:%Y-%m-%d %H:%M} UTC",
        hint="a version is never reused: check out its commit, and pack it under another --version",
    )

"""Decodes the JSON that hosts record. A host may be hostile: an id or a digest from it can become a path on
other hosts."""

from typing import Annotated, TypeVar

import msgspec

T = TypeVar("T")
_ID = r"[0-9]{6}-[0-9]{6}|20[0-9]{12}"
ReleaseId = Annotated[str, msgspec.Meta(pattern=rf"^({_ID})\Z")]
"""The id of a release; see `steps.layout.is_release_id`."""
ReleaseIdOrNone = Annotated[str, msgspec.Meta(pattern=rf"^({_ID}|)\Z")]
"""The same, or empty."""
Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{1,64}\Z")]
"""A sha256 in lower-case hexadecimal, maybe shortened."""

DigestOrNone = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{0,64}\Z")]
"""The same, or empty."""
EntryNumber = Annotated[int, msgspec.Meta(ge=0, le=99_999_999)]
"""The number of an entry in a stage's log, which has eight digits; 0 for none."""
LinkTarget = Annotated[str, msgspec.Meta(pattern=r"^[^\x00-\x1f\x7f]*\Z", max_length=4096)]
"""The target of a symbolic link."""


def decode(text: str, kind: type[T]) -> T:
    """Decode one JSON value. Raises ValueError if it is not JSON, is nested too deeply, or is not of the
    kind."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error

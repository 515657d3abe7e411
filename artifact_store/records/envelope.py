"""The format of entries and records: a statement, with signatures of its exact bytes.

The statement stays the JSON text that was signed, so a signature can be checked with the file alone.
"""

from typing import TypeVar

import msgspec

from artifact_store.core.errors import VerificationError

Statement = TypeVar("Statement")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A statement, and armored OpenSSH signatures of its bytes."""

    statement: msgspec.Raw
    signatures: tuple[str, ...] = ()


def seal(statement: bytes, signatures: tuple[str, ...] = ()) -> bytes:
    """Encode an envelope around the JSON text `statement`."""
    return msgspec.json.encode(Envelope(statement=msgspec.Raw(statement), signatures=signatures)) + b"\n"


def read(data: bytes, kind: type[Statement], place: str) -> tuple[Statement, Envelope]:
    """Decode an envelope; return its statement as a `kind`, and the envelope.

    Raises VerificationError if that is not possible; `place` names the data in the message.
    """
    try:
        envelope = msgspec.json.decode(data, type=Envelope)
        return msgspec.json.decode(envelope.statement, type=kind), envelope
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(
            f"{place} can't be read: {error}", hint="was it written by fapstore or faprelease?"
        ) from error

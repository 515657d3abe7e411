"""How entries and records are kept: a statement, and signatures over its very bytes.

The statement stays the JSON text it was written as, so a signature can be checked by whoever has the file.
"""

from typing import TypeVar

import msgspec

from artifact_store.core.errors import VerificationError

Statement = TypeVar("Statement")


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What is stated, and signatures (OpenSSH's, in their armour) over exactly those bytes."""

    statement: msgspec.Raw
    signatures: tuple[str, ...] = ()


def seal(statement: bytes, signatures: tuple[str, ...] = ()) -> bytes:
    """The bytes of an envelope around the JSON text `statement`."""
    return msgspec.json.encode(Envelope(statement=msgspec.Raw(statement), signatures=signatures)) + b"\n"


def read(data: bytes, kind: type[Statement], place: str) -> tuple[Statement, Envelope]:
    """The statement of an envelope as a `kind`, and the envelope.

    Raises VerificationError, naming `place`, if `data` is no such thing.
    """
    try:
        envelope = msgspec.json.decode(data, type=Envelope)
        return msgspec.json.decode(envelope.statement, type=kind), envelope
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(
            f"{place} can't be read: {error}", hint="was it written by fapstore or faprelease?"
        ) from error

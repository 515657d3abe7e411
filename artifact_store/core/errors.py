"""The errors that all three packages raise on purpose.

Each has a hint (what to type next) and the exit code of its kind. Only `cli` modules print an error and exit.
"""

from typing import ClassVar

from artifact_store.core.hints import Hint


class FapError(Exception):
    """Something failed and nothing was changed: exit 1.

    `message` says what failed and where, if possible in one line; `hint` says what to type next: plain text,
    or a Hint with blanks.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = Hint.plain(hint)


class UsageError(FapError):
    """The command line or a configuration file is wrong: exit 2."""

    exit_code = 2


class VerificationError(FapError):
    """Bytes or signatures are not as expected: exit 6."""

    exit_code = 6


class StoreError(FapError):
    """A store could not do what it was asked to do."""


class NotFoundError(StoreError):
    """The store does not contain the object."""


class RemovedError(StoreError):
    """`fapstore gc` removed the bytes of the version."""


class ConflictError(StoreError):
    """Someone else was first: a version exists with other bytes, or the next entry of a stage log exists."""


class UncertainError(StoreError):
    """The server failed: whether it did what it was asked is not known."""


class UncheckedError(StoreError):
    """An entry is in a stage's log, or may be, and a check after it could not be made: exit 3."""

    exit_code = 3


class PolicyViolationError(StoreError):
    """The app's rules do not allow a version on a stage."""


class UnreachableError(FapError):
    """No connection to a store or host: exit 7."""

    exit_code = 7

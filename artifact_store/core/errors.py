"""The family of errors that all three packages raise on purpose.

Each carries a hint (the next thing to type) and the exit code of its kind. Only a `cli` module prints
one and exits.
"""

from typing import ClassVar

from artifact_store.core.hints import Hint


class FapError(Exception):
    """Something failed and nothing changed: exit 1.

    `message` says what failed and where, in one line where possible; `hint` is what to type next: plain
    text, or a Hint with blanks.
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
    """Bytes are not what they were said to be: exit 6."""

    exit_code = 6


class StoreError(FapError):
    """A store could not do what was asked."""


class NotFoundError(StoreError):
    """The store holds no such thing."""


class ConflictError(StoreError):
    """Someone else was first: a version has other bytes, or the next number of a stage log is taken."""


class PolicyViolationError(StoreError):
    """The app's rules don't let a version onto a stage."""


class UnreachableError(FapError):
    """A store or host can't be reached: exit 7."""

    exit_code = 7

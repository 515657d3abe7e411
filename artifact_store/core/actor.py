"""The person or program that writes to a store, as records and log entries state it."""

import getpass
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec


@dataclass(frozen=True)
class Actor:
    """A person or program that changes a store."""

    who: str
    ci: str = ""
    """The URL of the CI run, or empty."""

    @classmethod
    def current(cls, environ: Mapping[str, str] = os.environ) -> "Actor":
        """The user and the CI run of this process."""
        return cls(who(environ), ci_run(environ))


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """The author, time and id of something that is written."""

    who: str
    at: datetime
    """In UTC, by the writer's clock."""
    ci: str
    """The URL of the CI run, or empty."""
    operation: str
    """A new random id. A writer whose reply was lost recognises its own object by it."""


def who(environ: Mapping[str, str] = os.environ) -> str:
    """The value of FAP_WHO, or else user@host."""
    if named := environ.get("FAP_WHO", "").strip():
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def ci_run(environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the GitHub Actions run of this process, or empty.

    The three variables are GitHub's: docs.github.com, "Variables reference".
    """
    parts = [environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    if not all(parts):
        return ""
    server, repository, run = parts
    return f"{server}/{repository}/actions/runs/{run}"

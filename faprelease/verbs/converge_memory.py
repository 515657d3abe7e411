"""What a converging host remembers: the highest log entry it has seen, and its last record.

<path>/.fap/converge.json    replaced by rename, after fsync
"""

import os
from pathlib import Path

import msgspec

from artifact_store.records.hosts import HostRecord
from faprelease.errors import FapError


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What this host remembers of its stage."""

    entry: int = 0
    """The number of the highest log entry that it has seen."""
    origin: str = ""
    """The origin of that log; empty for a log of statements 1."""
    last: HostRecord | None = None
    """Its last record, of the last run that changed something."""
    recorded: bool = True
    """Whether the store has that record."""
    stopped: str = ""
    """The release whose run someone stopped (a reboot, Ctrl-C), which says nothing about it."""


def read(state: str) -> Memory:
    """Read the memory in the app's state folder; an empty one if there is none yet.

    Raises FapError if it is damaged: a host must not silently forget what it has seen.
    """
    path = _path(state)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memory)
    except FileNotFoundError:
        return Memory()
    except (OSError, msgspec.MsgspecError) as error:
        raise FapError(
            f"{path} can't be read: {error}",
            hint="look at it and move it away; the store's record of this host is then used",
        ) from error


def write(state: str, memory: Memory) -> None:
    """Write the memory so that it survives a power cut; raises FapError if that fails."""
    path = _path(state)
    new = path.with_suffix(".new")
    try:
        with new.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(memory)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise FapError(f"{path} can't be written: {error}", hint="make room on the disk") from error


def _path(state: str) -> Path:
    return Path(state) / "converge.json"

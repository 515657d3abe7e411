"""What a host that converges keeps of its own: the highest entry it has seen, and where it stands.

<path>/.fap/converge.json    replaced by rename, after fsync
"""

import os
from pathlib import Path

import msgspec

from artifact_store.records.hosts import HostRecord
from faprelease.errors import FapError


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What this host knows of its stage."""

    entry: int = 0
    """The highest entry of the stage's log that it has seen."""
    last: HostRecord | None = None
    """Its last record: what the last run that changed something did."""
    recorded: bool = True
    """The store has that record."""
    stopped: str = ""
    """The release whose run someone stopped (a reboot, Ctrl-C), which says nothing about it."""


def read(state: str) -> Memory:
    """Read it in the state folder of the app; an empty one if there is none yet.

    Raises FapError if it is damaged: what this host has seen is not forgotten without anyone's knowledge.
    """
    path = _path(state)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Memory)
    except FileNotFoundError:
        return Memory()
    except (OSError, msgspec.MsgspecError) as error:
        raise FapError(
            f"{path} can't be read: {error}",
            hint="look at it, and move it away: what the store has of this host is read then",
        ) from error


def write(state: str, memory: Memory) -> None:
    """Keep it, so that it survives a power cut; raises FapError where that fails."""
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
        raise FapError(f"{path} can't be written: {error}", hint="see that the disk has space") from error


def _path(state: str) -> Path:
    return Path(state) / "converge.json"

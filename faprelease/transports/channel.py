"""The protocol of transports: a channel to one `sh` on a host, which reads scripts and answers."""

import time
from collections.abc import Callable
from typing import Protocol

FAREWELL = b" bye\n"
"""The end of the last line from a session's shell, after it released its locks."""


class Channel(Protocol):
    """The standard input and output of one shell on one host."""

    def send(self, data: bytes) -> None:
        """Write all of `data` to the shell's standard input. Raises ChannelLostError."""

    def receive(self, seconds: float) -> bytes:
        """Return some bytes of the shell's output; b"" when it has ended.

        Raises ChannelLostError if nothing arrives within `seconds`.
        """

    def close(self) -> None:
        """Close the input, so that the shell ends, and close the connection. Never raises."""


class ChannelLostError(Exception):
    """The connection was lost, or nothing arrived in time; the result of the last script is unknown."""


class NoShellError(ChannelLostError):
    """The other end never answered as our shell does."""


def says_farewell(receive: Callable[[float], bytes], deadline: float) -> bool:
    """Read the rest of a shell's output, whatever it prints, up to its farewell; return whether that came
    before `deadline` (of time.monotonic). Raises ChannelLostError."""
    tail = b""
    while not tail.endswith(FAREWELL) and (left := deadline - time.monotonic()) > 0:
        data = receive(left)
        if not data:
            break
        tail = (tail + data)[-len(FAREWELL) :]
    return tail.endswith(FAREWELL)

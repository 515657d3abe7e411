"""The protocol of transports: a channel to one `sh` on a host, which reads scripts and answers."""

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

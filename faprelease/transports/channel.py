"""What a transport gives: one `sh` on a host that reads scripts and answers, as long as it is open."""

from typing import Protocol

FAREWELL = b" bye\n"
"""How the last line of a session's shell ends, once it has let its locks go."""


class Channel(Protocol):
    """The standard input and output of one shell on one host."""

    def send(self, data: bytes) -> None:
        """Write all of `data` to the shell's standard input; raises ChannelLostError."""

    def receive(self, seconds: float) -> bytes:
        """Some bytes of the shell's output; b"" when it has ended.

        Raises ChannelLostError when nothing came for `seconds`.
        """

    def close(self) -> None:
        """End the input, so that the shell ends, and let the connection go. Never raises."""


class ChannelLostError(Exception):
    """The connection broke or fell silent: what the last script did is not known."""

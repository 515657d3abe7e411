"""`connection: local`: a release on this machine, as the user who runs it."""

import contextlib
import select
import subprocess
from typing import IO, cast

from faprelease.transports.channel import Channel, ChannelLostError


class LocalChannel:
    """A shell of this machine."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            # Ctrl-C is for the controller, which then ends the shell in an orderly way.
            start_new_session=True,
        )
        self._input = cast(IO[bytes], self._shell.stdin)
        self._output = cast(IO[bytes], self._shell.stdout)

    def send(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[self._input.write(view) :]
        except OSError as error:
            raise ChannelLostError(f"the local shell has ended: {error}") from error

    def receive(self, seconds: float) -> bytes:
        ready, _, _ = select.select([self._output], [], [], seconds)
        if not ready:
            raise ChannelLostError(f"the local shell said nothing for {seconds:.0f} s")
        return self._output.read(65536)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._input.close()
        try:
            self._shell.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        self._output.close()


def connect() -> Channel:
    """A shell on this machine."""
    return LocalChannel()

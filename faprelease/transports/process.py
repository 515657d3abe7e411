"""Processes of this machine: the local shell and the system's ssh as channels."""

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Sequence
from typing import IO, cast

from faprelease.transports.channel import ChannelLostError, says_farewell

SEND_SECONDS = 60
"""The time limit for a process to accept some bytes of a script, in seconds."""
CLOSE_SECONDS = 5
"""The time limit for it to end by itself after its input is closed, in seconds."""


class ProcessChannel:
    """The standard input and output of a process. Its standard error is part of its output."""

    def __init__(self, argv: Sequence[str], name: str) -> None:
        self._name = name
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            # Ctrl-C goes only to the controller, which then ends the shell properly.
            start_new_session=True,
        )
        self._input = cast(IO[bytes], self._process.stdin)
        self._output = cast(IO[bytes], self._process.stdout)
        os.set_blocking(self._input.fileno(), False)
        self._unread = b""

    def send(self, data: bytes) -> None:
        try:
            view = memoryview(data)
            while view:
                if not _ready(self._input, select.POLLOUT, SEND_SECONDS):
                    raise ChannelLostError(f"{self._name} accepted no input for {SEND_SECONDS} s")
                view = view[self._input.write(view) or 0 :]
        except (OSError, ValueError) as error:
            raise ChannelLostError(f"{self._name} has ended: {error}") from error

    def receive(self, seconds: float) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        if not _ready(self._output, select.POLLIN, seconds):
            raise ChannelLostError(f"{self._name} sent nothing for {seconds:.0f} s")
        return self._output.read(65536)

    def unread(self, data: bytes) -> None:
        """Put back received data; `receive` returns it again."""
        self._unread = data + self._unread

    def close(self) -> None:
        if self._output.closed:
            return
        with contextlib.suppress(OSError):
            self._input.close()
        deadline, ended = time.monotonic() + CLOSE_SECONDS, False
        # Read the rest of the output, so that the shell can reach its end, where it releases its locks.
        with contextlib.suppress(ChannelLostError):
            ended = says_farewell(self.receive, deadline)
        try:
            self._process.wait(timeout=1 if ended else max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            # A step still runs. A killed shell could not release its locks. With TERM it does so when the
            # step
            # ends, and its watcher stops the step as soon as the controller is gone.
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1)
        self._output.close()

    def stop(self) -> None:
        """Terminate the process immediately."""
        self._process.terminate()
        self.close()


def _ready(stream: IO[bytes], event: int, seconds: float) -> bool:
    poll = select.poll()  # select() can't handle descriptors above 1023
    poll.register(stream, event)
    return bool(poll.poll(seconds * 1000))


def output_of(argv: Sequence[str], seconds: float) -> str:
    """Return the output of a command. Raises OSError with its error output if it fails or takes too long."""
    try:
        process = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{argv[0]} took longer than {seconds:.0f} s") from error
    if process.returncode:
        raise OSError(process.stderr.strip() or f"{argv[0]} failed with exit code {process.returncode}")
    return process.stdout

"""The start of a shell: it prints a random word, and any earlier output is from other programs."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from faprelease.transports.channel import Channel, ChannelLostError

KEPT = 8192


@dataclass(frozen=True)
class Greeting:
    """A random word, printed in two halves, so that an echo of the command line does not contain it."""

    word: str = field(default_factory=lambda: os.urandom(8).hex())

    def before(self, command: str) -> str:
        """Return a command line, for any login shell, that prints the word and then runs `command`."""
        return f"printf %s%s {self.word[:8]} {self.word[8:]}; {command}"


def wait_for(channel: Channel, words: Sequence[str], seconds: float) -> tuple[str, str, bytes]:
    """Wait for one of the words. Return the text before it, the word, and the bytes after it that have
    arrived. If none arrives: the last 8 KiB of output with the error, and no word."""
    deadline, output = time.monotonic() + seconds, b""
    try:
        while data := channel.receive(max(0.0, deadline - time.monotonic())):
            output = (output + data)[-KEPT:]
            for word in words:
                before, matched, after = output.partition(word.encode())
                if matched:
                    return before.decode(errors="replace"), word, after
    except ChannelLostError as lost:
        output += f"\n{lost}".encode()
    return output.decode(errors="replace").strip(), "", b""

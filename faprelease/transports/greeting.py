"""How one knows that a shell is there: it says a random word, and what came before is somebody else's."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from faprelease.transports.channel import Channel, ChannelLostError

KEPT = 8192


@dataclass(frozen=True)
class Greeting:
    """A word that only a shell can say: it is put together from two halves, so no echo of the line has it."""

    word: str = field(default_factory=lambda: os.urandom(8).hex())

    def before(self, command: str) -> str:
        """A command line, in any login shell's language, that says the word and then runs `command`."""
        return f"printf %s%s {self.word[:8]} {self.word[8:]}; {command}"


def wait_for(channel: Channel, words: Sequence[str], seconds: float) -> tuple[str, str, bytes]:
    """What the host says, as text: what came before the first of the words, that word, and, in bytes, what
    had come behind it by then. Without a word: the last 8 KiB of all that was said, and why no more came."""
    ends, said = time.monotonic() + seconds, b""
    try:
        while data := channel.receive(max(0.0, ends - time.monotonic())):
            said = (said + data)[-KEPT:]
            for word in words:
                before, found, behind = said.partition(word.encode())
                if found:
                    return before.decode(errors="replace"), word, behind
    except ChannelLostError as lost:
        said += f"\n{lost}".encode()
    return said.decode(errors="replace").strip(), "", b""

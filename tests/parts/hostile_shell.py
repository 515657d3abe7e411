"""The shell of a host that was taken over: real until a word comes by, then it breaks the protocol.

python3 hostile_shell.py HOW WORD
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

from faprelease.transports.channel import Channel
from faprelease.transports.process import ProcessChannel


def _repeated(lines: bytes) -> Callable[[bytes], Iterator[bytes]]:
    def answers(mark: bytes) -> Iterator[bytes]:
        while True:
            yield lines.replace(b"MARK", mark)

    return answers


def _once(lines: bytes) -> Callable[[bytes], Iterator[bytes]]:
    def answers(mark: bytes) -> Iterator[bytes]:
        yield lines.replace(b"MARK", mark)

    return answers


WAYS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "a line without end": _repeated(b"A" * 65536),
    "lines without end": _repeated(b"stray line\n" * 6000),
    "programs without end": _repeated(b"".join(b"MARK begin 0/%016d\n" % n for n in range(1000))),
    "output without end": _repeated(b"MARK begin\n" + b"x" * 60000 + b"\n"),
    "facts without end": _repeated(b"\rfetched 1\n" * 5000),
    "words for numbers": _once(b"MARK begin\nMARK end x y\n"),
    "no numbers": _once(b"MARK begin\nMARK end\n"),
    "a huge number": _once(b"MARK begin\nMARK end 0 " + b"9" * 5000 + b"\n"),
    "a number below zero": _once(b"MARK begin\nMARK end -1 0\n"),
    "a step out of order": _once(b"MARK begin\nMARK end 7 0\nMARK end 8 0\n"),
    "success in advance": _once(b"MARK begin\n" + b"".join(b"MARK end %d 0\n" % n for n in range(60))),
    "binary": _repeated(bytes(range(256)) * 200),
}


def hostile_shell(how: str, word: str = "") -> Channel:
    """A channel to it; it is hostile from the first script, or from the first one with the word."""
    return ProcessChannel([sys.executable, __file__, how, word], "the local shell")


def end_with_the_input() -> None:
    """Do not make a test wait for what no controller waits for."""
    while os.read(0, 65536):
        pass
    os._exit(0)


def main(how: str, word: bytes) -> None:
    real = subprocess.Popen(["/bin/sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert real.stdin
    assert real.stdout
    turned = threading.Event()

    def relay() -> None:
        while (data := os.read(real.stdout.fileno(), 65536)) and not turned.is_set():
            os.write(1, data)

    threading.Thread(target=relay, daemon=True).start()
    seen = b""
    while data := os.read(0, 65536):
        seen += data
        mark = re.search(rb"fap_mark=(\S+)", seen)
        if mark and word in seen and b"fap_phase; }" in data:
            turned.set()
            threading.Thread(target=end_with_the_input, daemon=True).start()
            for answer in WAYS[how](mark[1]):
                os.write(1, answer)
            time.sleep(300)
        os.write(real.stdin.fileno(), data)


if __name__ == "__main__":
    try:
        main(sys.argv[1], sys.argv[2].encode())
    except OSError:
        os._exit(0)

"""A steady load on a web server, from a process of its own: so many requests begin each second, however long
the answers take. A quarter each are GET and POST on fresh connections, and on kept-alive ones.

python -m bench.load PORT RATE FILE      writes a line for each request, until its standard input ends
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TextIO

from bench.processes import BIN, BenchError

LIMIT = 10.0
"""An answer that takes longer is a failure; in seconds."""
IDLE = 15.0
"""A kept-alive connection is not used again after so many seconds: the server may be about to close it."""
BODY = b"x" * 512


@dataclass(frozen=True)
class Answer:
    """One request, and what came back."""

    began: float
    """Seconds since the epoch."""
    seconds: float
    status: str
    """Of HTTP, or the name of an error."""
    version: str
    """The X-Version of the answer."""
    proven: bool
    """The X-Proven of the answer."""
    kind: str

    @property
    def good(self) -> bool:
        return self.status == "200"


@dataclass
class Load:
    """The answers of a load that ran; none before it has ended."""

    answers: Sequence[Answer] = ()


@contextmanager
def load(port: int, rate: float, file: Path) -> Iterator[Load]:
    """Ask a port of 127.0.0.1 so many times a second. The value has the answers afterwards."""
    argv = [BIN / "python", "-m", "bench.load", str(port), str(rate), file]
    made = Load()
    with subprocess.Popen(argv, cwd=Path(__file__).parent.parent, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        yield made
        process.stdin.close()
        if process.wait():
            raise BenchError(f"the load generator ended with {process.returncode}")
    made.answers = sorted(map(_parsed, file.read_text().splitlines()), key=lambda answer: answer.began)


def _parsed(line: str) -> Answer:
    began, seconds, status, version, proven, kind = line.split("\t")
    return Answer(float(began), float(seconds), status, version, proven == "True", kind)


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: float


class _Client:
    def __init__(self, port: int, out: TextIO) -> None:
        self._port = port
        self._out = out
        self._kept: list[_Connection] = []

    async def ask(self, number: int) -> None:
        """Send one request, and write down what became of it."""
        keep, method = number % 2 == 0, ("GET", "POST")[number // 2 % 2]
        began, answer = time.time(), ("timeout", "-", False)
        try:
            async with asyncio.timeout(LIMIT):
                answer = await self._asked(method, keep=keep)
        except TimeoutError:
            pass
        except (OSError, asyncio.IncompleteReadError) as error:
            answer = (type(error).__name__, "-", False)
        kind = f"{method} {'kept alive' if keep else 'fresh'}"
        fields = astuple(Answer(began, time.time() - began, *answer, kind))
        self._out.write("\t".join(map(str, fields)) + "\n")

    async def _asked(self, method: str, *, keep: bool) -> tuple[str, str, bool]:
        connection = (self._take() if keep else None) or await self._connect()
        try:
            length = f"Content-Length: {len(BODY)}\r\n" if method == "POST" else ""
            close = "" if keep else "Connection: close\r\n"
            head = f"{method} / HTTP/1.1\r\nHost: slow\r\n{length}{close}\r\n"
            connection.writer.write(head.encode() + (BODY if method == "POST" else b""))
            await connection.writer.drain()
            status, headers = await _answer(connection.reader)
        except BaseException:
            connection.writer.close()
            raise
        if keep and headers.get("connection") != "close":
            connection.used = time.monotonic()
            self._kept.append(connection)
        else:
            connection.writer.close()
        return status, headers.get("x-version", "-"), headers.get("x-proven") == "yes"

    def _take(self) -> _Connection | None:
        while self._kept:
            connection = self._kept.pop()
            if time.monotonic() - connection.used < IDLE:
                return connection
            connection.writer.close()
        return None

    async def _connect(self) -> _Connection:
        return _Connection(*await asyncio.open_connection("127.0.0.1", self._port), time.monotonic())


async def _answer(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    await reader.readexactly(int(headers["content-length"]))
    return lines[0].split()[1], headers


async def _run(port: int, rate: float, file: Path) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.run_in_executor(None, sys.stdin.read)
    tasks: set[asyncio.Task[None]] = set()
    with file.open("w") as out:
        client = _Client(port, out)
        start, number = loop.time(), 0
        while not ended.done():
            task = asyncio.create_task(client.ask(number))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(0, start + number / rate - loop.time()))
        if tasks:
            await asyncio.wait(tasks)


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])))

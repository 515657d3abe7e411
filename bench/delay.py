"""A network that is far away: TCP proxies in a process of their own, each byte late by a fixed time.

python -m bench.delay SECONDS HOST:PORT...      says one port a line, on 127.0.0.1, in the same order
"""

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.processes import BIN

CHUNK = 65536


@contextmanager
def far(targets: Sequence[tuple[str, int]], seconds: float) -> Iterator[list[int]]:
    """A port of 127.0.0.1 for each address and port; what goes through it takes `seconds` each way."""
    names = [f"{host}:{port}" for host, port in targets]
    argv = [BIN / "python", "-m", "bench.delay", str(seconds), *names]
    with subprocess.Popen(argv, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True) as proxy:
        assert proxy.stdout is not None
        try:
            yield [int(proxy.stdout.readline()) for _ in targets]
        finally:
            proxy.kill()


async def _serve(seconds: float, targets: Sequence[str]) -> None:
    for target in targets:
        host, _, port = target.rpartition(":")

        async def accept(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = host, port: str = port
        ) -> None:
            # A connection is made in one round trip as well.
            await asyncio.sleep(2 * seconds)
            with suppress(OSError):
                there, back = await asyncio.open_connection(host, int(port))
                await asyncio.gather(_carry(reader, back, seconds), _carry(there, writer, seconds))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while data := await reader.read(CHUNK):
            loop.call_later(seconds, writer.write, data)
    loop.call_later(seconds, writer.close)


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), sys.argv[2:]))

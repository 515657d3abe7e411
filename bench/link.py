"""A link of a given speed before a server, which counts what goes over it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_CHUNK = 16 << 10


@dataclass
class Link:
    """`carried` counts bytes in both directions; `speed` is in bytes a second, 0 for as fast as it goes."""

    url: str
    speed: int = 0
    carried: int = 0
    _free: float = 0.0

    async def carry(self, data: bytes) -> None:
        """Wait as long as the bytes need, one after another for all connections."""
        self.carried += len(data)
        if self.speed:
            now = time.monotonic()
            self._free = max(self._free, now) + len(data) / self.speed
            await asyncio.sleep(self._free - now)


@contextmanager
def link(server: str, speed: int = 0) -> Iterator[Link]:
    """A port of loopback that leads to the server (`http://127.0.0.1:PORT`)."""
    there = urlsplit(server)
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await made.carry(data)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(there.hostname, there.port)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    listening = loop.run_until_complete(asyncio.start_server(connected, "127.0.0.1", 0))
    made = Link(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", speed)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()

"""Hosts that converge, all at once, against one real S3 server: what each asks of it, by a counting proxy.

python -m bench.converge HOSTS     each host is a folder of this machine, with a cache of its own
"""

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from artifact_store.core.actor import Actor
from artifact_store.store.store import open_store
from bench import machine
from bench.processes import BIN
from tests.parts.seaweed import seaweed
from tests.parts.site import INSTALL
from tests.parts.tgz import tgz

_REQUEST = re.compile(rb"(?:^|\r\n|\})((?:GET|PUT|HEAD|POST|DELETE) [^ \r\n]+) HTTP/1\.1\r\n")
SIZE = 4 << 20


@dataclass
class Meter:
    """What went through the proxy since the last `take`."""

    requests: Counter[str] = field(default_factory=Counter)
    up: int = 0
    down: int = 0

    def take(self) -> "Meter":
        taken = Meter(self.requests, self.up, self.down)
        self.requests, self.up, self.down = Counter(), 0, 0
        return taken


def _kind(request: str) -> str:
    method, _, target = request.partition(" ")
    for word, name in (
        ("list-type", "list"),
        (".tgz", "artifact"),
        ("/stages/", "entry"),
        ("/hosts/", "record"),
        ("artifact.json", "artifact.json"),
    ):
        if word in target:
            return f"{method} {name}"
    return f"{method} other"


async def _proxy(meter: Meter, target: tuple[str, int], tell: list[int], ready: threading.Event) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if up:
                    meter.up += len(data)
                    meter.requests.update(_kind(found.decode()) for found in _REQUEST.findall(data))
                else:
                    meter.down += len(data)
                writer.write(data)
                await writer.drain()
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            there, back = await asyncio.open_connection(*target)
            await asyncio.gather(carry(reader, back, up=True), carry(there, writer, up=False))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=1024)
    tell.append(server.sockets[0].getsockname()[1])
    ready.set()
    await asyncio.Event().wait()


def main(hosts: int) -> None:
    with tempfile.TemporaryDirectory(prefix="fap-converge-") as name, seaweed(Path(name) / "s3") as server:
        folder, meter, ports, ready = Path(name), Meter(), list[int](), threading.Event()
        host, _, port = server.endpoint.removeprefix("http://").partition(":")
        proxy = _proxy(meter, (host, int(port)), ports, ready)
        threading.Thread(target=asyncio.run, args=(proxy,), daemon=True).start()
        ready.wait()
        env = {**os.environ, **server.env, "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{ports[0]}"}
        os.environ.update(server.env)
        server.make_bucket("fleet")
        store = open_store("s3://fleet/a")
        (folder / "deploy.yml").write_text(
            "app_name: shop\nstore: s3://fleet/a\nmanager: converge\n"
            "stage_role_configs: {production: {web: {}}}\n"
        )
        print(machine.describe())
        print(f"{hosts} hosts at once, an artifact of {SIZE >> 20} MiB\n")
        print("| run | requests per host | bytes up | bytes down | seconds: median | all | outcomes |")
        print("|---|---|---|---|---|---|---|")
        data = random.Random(1).randbytes(SIZE)
        parts = {f"data/{n:02}": data[n << 16 : n + 1 << 16] for n in range(SIZE >> 16)}
        for version in ("1", "2"):
            files = {"app.py": f"VERSION = {version!r}\n".encode(), "install.sh": INSTALL, **parts}
            store.artifacts.publish(tgz(folder, version=version, files=files, wheels={}), by=Actor("bench"))
        for what in ("first release", "nothing to do", "code-only release", "nothing to do, again"):
            if what == "first release":
                store.stages.promote("shop", "1", "production", by=Actor("bench"))
            if what == "code-only release":
                store.stages.promote("shop", "2", "production", by=Actor("bench"))
            _measure(what, hosts, folder, env, meter)


def _measure(what: str, hosts: int, folder: Path, env: dict[str, str], meter: Meter) -> None:
    meter.take()

    def run(number: int) -> tuple[float, str]:
        home = folder / f"h{number}"
        home.mkdir(exist_ok=True)
        words = ["converge", "-f", "deploy.yml", "--host", f"h{number:05}", "--path", f"{home}/www"]
        words += ["--cache-path", f"{home}/cache", "production", "web"]
        began = time.monotonic()
        done = subprocess.run(
            [BIN / "faprelease", *words],
            cwd=folder,
            env={**env, "XDG_STATE_HOME": f"{home}/state"},
            capture_output=True,
            text=True,
        )
        told = json.loads(done.stdout)["outcome"] if done.stdout else done.stderr[-300:]
        return time.monotonic() - began, told

    began = time.monotonic()
    with ThreadPoolExecutor(hosts) as pool:
        ended = list(pool.map(run, range(hosts)))
    total, taken = time.monotonic() - began, meter.take()
    outcomes = ", ".join(f"{count} {name}" for name, count in Counter(each for _, each in ended).items())
    requests = ", ".join(f"{count / hosts:.2f} {name}" for name, count in sorted(taken.requests.items()))
    print(
        f"| {what} | {taken.requests.total() / hosts:.2f} ({requests}) | {taken.up / hosts:.0f}"
        f" | {taken.down / hosts:.0f} | {statistics.median(each for each, _ in ended):.1f} | {total:.1f}"
        f" | {outcomes} |",
        flush=True,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""A network and a server that fail at random between us and a real S3 server."""

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.actor import Actor
from artifact_store.core.errors import ConflictError, StoreError
from artifact_store.store.store import Store, open_store
from tests.parts.seaweed import Server
from tests.parts.tgz import tgz

SEED = 7
FAULTS = ("drop", "lose the reply", "delay", "truncate", "500", "503", "409", "500 though done")
LARGE = 6 << 20  # two parts


class Proxy(BaseHTTPRequestHandler):
    """Hands requests on to the server; one of four meets a fault."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstream: str
    dice: random.Random
    met: "Counter[str]"
    damage = False

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.dice.choice(FAULTS) if self.dice.random() < 0.25 else ""
        if fault == "409" and self.command not in ("PUT", "POST"):
            fault = "503"  # S3 answers it to writes only
        self.met[fault] += 1
        if fault == "drop":
            self.close_connection = True
        elif fault in ("500", "503", "409"):
            code = {"500": "InternalError", "503": "SlowDown", "409": "ConditionalRequestConflict"}[fault]
            self._answer(int(fault), [], f"<Error><Code>{code}</Code></Error>".encode())
        else:
            if fault == "delay":
                time.sleep(0.2)
            if self.damage and len(body) > 1000:
                body = body[:500] + bytes([body[500] ^ 1]) + body[501:]
            status, headers, answer = self._ask(body)
            if fault == "lose the reply":
                self.close_connection = True
            elif fault == "500 though done":
                self._answer(500, [], b"<Error><Code>InternalError</Code></Error>")
            else:
                self._answer(status, headers, answer, cut=fault == "truncate")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        server = http.client.HTTPConnection(self.upstream, timeout=60)
        server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("expect", "connection"):
                server.putheader(name, value)
        server.endheaders(body)
        response = server.getresponse()
        answer = response.read()
        server.close()
        skipped = ("connection", "transfer-encoding", "content-length", "date", "server")
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in skipped]
        if self.command == "HEAD":
            headers.append(("Content-Length", response.getheader("Content-Length") or "0"))
        return response.status, headers, answer

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(s3_server: Server, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Proxy]]:
    upstream = s3_server.endpoint.removeprefix("http://")
    fields = {"upstream": upstream, "dice": random.Random(SEED), "met": Counter()}
    handler = type("P", (Proxy,), fields)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_address[1]}")
    # retries wait half a second and more, which is for servers and not for tests
    shortened = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 50), time=time.time)
    monkeypatch.setattr("botocore.endpoint.time", shortened)
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def operate(blobs: Blobs, number: int, dice: random.Random, kept: dict[str, bytes], large: Path) -> None:
    """Do one thing; what it says must be true."""
    if number % 30 == 0:
        body = dice.randbytes(LARGE)
        large.write_bytes(body)
        with large.open("rb") as file:
            create(blobs, f"large/{number}", body, file, kept)
    elif dice.random() < 0.5:
        body = b"%d " % number + dice.randbytes(2000)
        key = f"small/{dice.randrange(120)}"
        create(blobs, key, body, body, kept)
    elif kept and dice.random() < 0.8:
        key = dice.choice(sorted(kept))
        assert blobs.get(key) == kept[key]
        assert blobs.size(key) == len(kept[key])
    else:
        assert set(blobs.keys("small/")) == {key for key in kept if key.startswith("small/")}


def create(blobs: Blobs, key: str, body: bytes, source: object, kept: dict[str, bytes]) -> None:
    try:
        blobs.create(key, source)  # type: ignore[arg-type]
        assert key not in kept, "a key that was taken is not created"
        kept[key] = body
    except ConflictError:
        # ours, if a reply was lost; else there must have been another
        assert blobs.get(key) == kept.setdefault(key, body)


@pytest.mark.s3
def test_three_hundred_operations_tell_the_truth(
    s3_server: Server,
    s3_url: str,
    proxy: type[Proxy],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blobs = open_blobs(s3_url)
    dice, kept = random.Random(SEED), dict[str, bytes]()
    for number in range(300):
        operate(blobs, number, dice, kept, tmp_path / "large")
    assert all(proxy.met[fault] >= 3 for fault in FAULTS), proxy.met
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    straight = open_blobs(s3_url)
    assert {key: straight.get(key) for key in straight.keys("")} == kept
    # of an upload whose start was lost nobody here knows; it holds no bytes, and gc ends it
    assert [left for left in straight.unfinished("") if left.size] == []


@pytest.mark.s3
def test_pushes_and_promotions_tell_the_truth(
    s3_server: Server, s3_url: str, proxy: type[Proxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(s3_url)
    digests = [
        store.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ann")).digest for version in "12"
    ]
    states = [
        store.stages.promote("shop", "12"[turn % 2], "staging", by=Actor("ann")).state for turn in range(20)
    ]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    straight: Store = open_store(s3_url)
    assert [straight.artifacts.get("shop", version).digest for version in "12"] == digests
    assert [entry.state for entry in straight.stages.history("shop", "staging")] == states
    assert [state.number for state in states] == list(range(1, 21))


@pytest.mark.s3
@pytest.mark.parametrize("size", [2000, LARGE])
def test_bytes_that_are_damaged_on_their_way_are_refused(
    s3_url: str, proxy: type[Proxy], tmp_path: Path, size: int
) -> None:
    proxy.damage = True
    (tmp_path / "file").write_bytes(random.Random(SEED).randbytes(size))
    blobs = open_blobs(s3_url)
    with (
        (tmp_path / "file").open("rb") as file,
        pytest.raises(StoreError, match=r"BadDigest|Bad Request|answers 400") as error,
    ):
        blobs.create("damaged", file)
    assert not isinstance(error.value, ConflictError)
    assert list(blobs.keys("")) == []

"""An answer of a bucket that ends too early is never taken for the whole object."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from artifact_store.blobs.s3 import S3Blobs

BODY = b"y" * 1_500_000
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + BODY[:50]
FAULTS: dict[str, Callable[[socket.socket], Any]] = {
    "it ends after half of its length": lambda client: client.sendall(HALF),
    "it has no length": lambda client: client.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    ),
    "the connection is reset": lambda client: (
        client.sendall(HALF),
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
    ),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A server that answers boto3 with the whole object, and a quick reader as "fault" says."""
    faults: dict[str, Any] = {}
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with client, client.makefile("rb") as asked:
            while asked.readline():
                headers = b"".join(iter(asked.readline, b"\r\n"))
                if b"amz-sdk-request" not in headers.lower():  # boto3 sends it with each request
                    faults["fault"](client)
                    return
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY))

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{listening.getsockname()[1]}")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    yield faults
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


@pytest.mark.parametrize("case", FAULTS)
def test_what_is_cut_is_read_again_by_boto3(server: dict[str, Any], case: str) -> None:
    server["fault"] = FAULTS[case]
    blobs = S3Blobs("bucket", "prefix")
    assert blobs.get("first") == BODY  # the pattern of the others
    assert list(blobs.get_each(["second"])) == [BODY]

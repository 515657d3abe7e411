"""What S3Blobs makes of answers that the S3 server of the tests never gives."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

import pytest

from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import ConflictError, NotFoundError, StoreError, UnreachableError

Answer = tuple[int, str]
STARTED = b"<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b"<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>"


class Handler(BaseHTTPRequestHandler):
    """Gives the answers (status, S3 error code) it has, one by one, then 200.

    The start of a multipart upload, its parts and its end by abortion always succeed.
    """

    protocol_version = "HTTP/1.1"
    answers: list[Answer]
    asked: list[tuple[str, str | None]]

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "partNumber" in self.path:
            self._send(200, b"")
        else:
            self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.endswith("?uploads"):
            self.asked.append(("START", None))
            self._send(200, STARTED)
        elif self.answers:
            self._answer()
        else:
            self.asked.append(("POST", self.headers.get("If-None-Match")))
            self._send(200, COMPLETED)

    def do_DELETE(self) -> None:
        self.asked.append(("ABORT", None))
        self._send(204, b"")

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.asked.append((self.command, self.headers.get("If-None-Match")))
        status, code = self.answers.pop(0) if self.answers else (200, "")
        body = b"" if self.command == "HEAD" or not code else f"<Error><Code>{code}</Code></Error>".encode()
        self._send(status, body)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"etag"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    handler = type("H", (Handler,), {"answers": [], "asked": []})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{http.server_address[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    yield handler
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def blobs(server: type[Handler]) -> Blobs:
    return open_blobs("s3://bucket/prefix")


def test_another_write_under_way_is_tried_again(blobs: Blobs, server: type[Handler]) -> None:
    server.answers = [(409, "ConditionalRequestConflict"), (409, "ConditionalRequestConflict")]
    blobs.create("key", b"x")
    assert server.asked == [("PUT", "*")] * 3


@pytest.mark.slow
def test_it_is_not_tried_for_ever(blobs: Blobs, server: type[Handler]) -> None:
    server.answers = [(409, "ConditionalRequestConflict")] * 100
    with pytest.raises(StoreError, match="other writers keep writing key"):
        blobs.create("key", b"x")


def test_a_taken_key(blobs: Blobs, server: type[Handler]) -> None:
    server.answers = [(412, "PreconditionFailed")]
    with pytest.raises(ConflictError):
        blobs.create("key", b"x")


@pytest.fixture
def big(tmp_path: Path) -> Iterator[BinaryIO]:
    """A file that goes up in two parts."""
    (tmp_path / "big").write_bytes(bytes(9 << 20))
    with (tmp_path / "big").open("rb") as file:
        yield file


def test_a_whole_multipart_upload_is_tried_again(blobs: Blobs, server: type[Handler], big: BinaryIO) -> None:
    server.answers = [(409, "ConditionalRequestConflict")]
    blobs.create("key", big)
    attempt = [("START", None), ("POST", "*")]
    assert server.asked == [*attempt, ("ABORT", None), *attempt]


def test_a_taken_key_ends_a_multipart_upload(blobs: Blobs, server: type[Handler], big: BinaryIO) -> None:
    server.answers = [(412, "PreconditionFailed")]
    with pytest.raises(ConflictError):
        blobs.create("key", big)
    assert server.asked == [("START", None), ("POST", "*"), ("ABORT", None)]


def test_the_lost_reply_of_a_completed_upload_reads_as_a_taken_key(
    blobs: Blobs, server: type[Handler], big: BinaryIO
) -> None:
    server.answers = [(500, "InternalError"), (404, "NoSuchUpload")]
    with pytest.raises(ConflictError):
        blobs.create("key", big)
    assert [verb for verb, _ in server.asked] == ["START", "POST", "POST", "ABORT", "HEAD"]


def test_an_upload_that_vanished_is_an_error(blobs: Blobs, server: type[Handler], big: BinaryIO) -> None:
    server.answers = [(404, "NoSuchUpload"), (404, "NoSuchKey")]
    with pytest.raises(StoreError, match="NoSuchUpload") as error:
        blobs.create("key", big)
    assert not isinstance(error.value, ConflictError)


def test_a_server_in_trouble_is_asked_again(blobs: Blobs, server: type[Handler]) -> None:
    server.answers = [(503, "SlowDown"), (500, "InternalError")]
    blobs.create("key", b"x")
    assert server.asked == [("PUT", "*")] * 3


@pytest.mark.parametrize("code", ["AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"])
def test_forbidden_is_not_missing(blobs: Blobs, server: type[Handler], code: str) -> None:
    for call in (lambda: blobs.get("key"), lambda: blobs.size("key"), lambda: list(blobs.keys("log/"))):
        server.answers = [(403, code)]
        with pytest.raises(StoreError, match="refused") as error:
            call()
        assert not isinstance(error.value, NotFoundError)
        assert "credentials" in error.value.hint
        assert "very-secret" not in f"{error.value.message} {error.value.hint}"


def test_a_bucket_that_is_not_there(blobs: Blobs, server: type[Handler]) -> None:
    server.answers = [(404, "NoSuchBucket")]
    with pytest.raises(StoreError, match="the bucket does not exist") as error:
        blobs.get("key")
    assert not isinstance(error.value, NotFoundError)


def test_no_credentials(server: type[Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(StoreError, match="no AWS credentials"):
        open_blobs("s3://bucket/prefix").get("key")
    assert server.asked == []


def test_nobody_answers(server: type[Handler], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(UnreachableError, match=re.escape("s3://bucket/prefix/key")):
        open_blobs("s3://bucket/prefix").get("key")


def test_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this")
    with pytest.raises(StoreError, match="nobody-has-this"):
        open_blobs("s3://bucket/prefix")

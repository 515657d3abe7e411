"""Downloads from servers that never send the whole file: they end, and say why."""

import gzip
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest

from faprelease.config.artifact_source import ArtifactSource
from faprelease.errors import FapError, VerificationError
from faprelease.plugins import curl
from faprelease.steps.layout import Layout
from faprelease.steps.model import Secret
from tests.parts.site import Site, artifact, sha256_of

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


@contextmanager
def served(body: bytes, answer: Answer) -> Iterator[str]:
    """The URL of a server that answers with `answer`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.close_connection = True
            answer(self, body)

        def log_message(self, *_arguments: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/shop.tgz"
        finally:
            server.shutdown()
            thread.join()


def head(handler: BaseHTTPRequestHandler, status: int, length: int, **more: str) -> None:
    handler.send_response(status)
    headers = {"Content-Length": str(length), "ETag": '"one"', **more}
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def start_of(handler: BaseHTTPRequestHandler) -> int:
    found = re.match(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    return int(found[1]) if found else 0


def cuts_at_the_same_byte(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """It knows no ranges, as a proxy may."""
    head(handler, 200, len(body))
    handler.wfile.write(body[: len(body) // 2])


def sends_ten_bytes(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    start = start_of(handler)
    head(
        handler,
        206 if start else 200,
        len(body) - start,
        Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}",
    )
    handler.wfile.write(body[start : start + 10])
    handler.wfile.flush()
    time.sleep(5)


def cuts_often(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    start = start_of(handler)
    head(
        handler,
        206 if start else 200,
        len(body) - start,
        Content_Range=f"bytes {start}-{len(body) - 1}/{len(body)}",
    )
    handler.wfile.write(body[start : start + 100_000])


def answers_ranges_with_other_bytes(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """Only the range at the beginning is right."""
    found = re.match(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
    if not found:
        head(handler, 200, len(body))
        handler.wfile.write(body)
        return
    start, end = int(found[1]), int(found[2] or len(body) - 1)
    head(handler, 206, end + 1 - start, Content_Range=f"bytes {start}-{end}/{len(body)}")
    handler.wfile.write(bytes(end + 1 - start) if start else body[: end + 1])


def compresses(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    data = gzip.compress(body)
    head(handler, 200, len(data), Content_Encoding="gzip")
    handler.wfile.write(data)


def refuses(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    head(handler, 403, 7)
    handler.wfile.write(b"expired")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of more than 1 MiB, which is cached."""
    noise = Random(1).randbytes(1_500_000)
    return Path(artifact(tmp_path_factory.mktemp("built"), "1", {"noise": noise}).removeprefix("file://"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure()
    return made


def release(site: Site, built: Path, answer: Answer, **flags: Any) -> str:
    with served(built.read_bytes(), answer) as url:
        return site.release(url, curl_sha256=sha256_of(built.as_uri()), **flags)


def test_a_download_that_gets_no_further_ends(tmp_path: Path, built: Path) -> None:
    """Both servers at once, as each is asked four times, with growing pauses."""
    size = built.stat().st_size

    def refused(answer: Answer) -> str:
        path = tmp_path / answer.__name__
        layout = Layout(*(str(path / name) for name in ("", "current", "releases", "shared")))
        Path(layout.state).mkdir(parents=True)
        options = curl.Options(curl_options="--speed-time 1")
        with served(built.read_bytes(), answer) as url:
            source = ArtifactSource(url=url, name="1", digest=sha256_of(built.as_uri()))
            (step,) = curl.fetch(source, options, "", layout, "261130-000000", "shop")
            assert step.program
            assert isinstance(step.stdin, Secret)
            text = f"{step.program.text}\n#### input\n{step.stdin.value}"
            done = subprocess.run(["sh", "-c", step.script], input=text, stdout=-1, stderr=-2, text=True)
        assert done.returncode != 0
        return done.stdout

    with ThreadPoolExecutor() as pool:
        same, few = pool.map(refused, (cuts_at_the_same_byte, sends_ten_bytes))
    assert (
        f"the answer broke off 4 times without getting further, now after {size // 2} of {size} bytes" in same
    )
    assert f"the answer broke off 4 times without getting further, now after 40 of {size} bytes" in few


def test_a_download_that_breaks_off_often_gets_there(site: Site, built: Path) -> None:
    release(site, built, cuts_often)
    assert site.version() == "1"


def test_ranges_with_other_bytes_are_given_up(
    site: Site, built: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The cache has an artifact that shares nothing, so after the first range all the rest is asked for."""
    noise = Random(2).randbytes(1_500_000)
    site.release(artifact(tmp_path / "0", "0", {"noise": noise}))
    release(site, built, answers_ranges_with_other_bytes)
    assert site.version() == "1"
    assert "the parts of the download do not fit together" in capfd.readouterr().err


def test_a_server_that_compresses_is_named(site: Site, built: Path) -> None:
    with pytest.raises(VerificationError, match=r"the server compressed it \(Content-Encoding: gzip\)"):
        release(site, built, compresses)


def test_a_refusal_and_a_proxy_are_explained(
    site: Site, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FapError, match="a signed URL may have expired; make a new one: fapstore url"):
        release(site, built, refuses)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(FapError, match="this host has a proxy in http_proxy"):
        release(site, built, refuses)


def test_only_values_that_may_be_secret_are_hidden(site: Site, built: Path) -> None:
    options = "--cacert /etc/ssl/nothing.pem -H 'X-Token: abcdef' -HX-Other:ghijkl"
    with pytest.raises(FapError) as failed, served(built.read_bytes(), refuses) as url:
        site.release(url.replace("http:", "https:"), curl_options=options)
    assert "/etc/ssl/nothing.pem" in failed.value.message
    assert "abcdef" not in failed.value.message

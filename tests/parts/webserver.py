"""A web server that counts the bytes it sends, with ranges or without, and can be made to misbehave."""

import base64
import contextlib
import hashlib
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Site:
    """`files` by path; `ranges` says whether `Range` is understood."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    largest: int = 1 << 40
    """A range is answered with at most so many bytes, as RFC 9110 allows."""
    status: int = 0
    """Answered to everything, if not 0."""
    headers: dict[str, str] = field(default_factory=dict)
    """In place of those that the server would send."""
    etags: bool = False
    """Answers have an ETag, and If-Match is understood."""
    cuts: list[int] = field(default_factory=list)
    """Each of the next bodies breaks off after so many bytes."""
    then: dict[str, bytes] = field(default_factory=dict)
    """What the files are replaced by after the next answer."""
    login: str = ""
    """`user:password` that is demanded (RFC 7617), if not empty."""
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0
    """Bytes of bodies, headers not counted."""


@contextmanager
def serve() -> Iterator[Site]:
    """Serve on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            super().setup()
            # a large buffer would take in what nobody reads
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)

        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            site.asked.append((self.path, asked))
            path = self.path.partition("?")[0]
            wanted = "Basic " + base64.b64encode(site.login.encode()).decode()
            if site.login and self.headers.get("Authorization") != wanted:
                self.answer(401, b"no", {"WWW-Authenticate": 'Basic realm="index"'})
                return
            data = site.files.get(path)
            if site.status or path in site.redirects or data is None:
                status = site.status or (302 if path in site.redirects else 404)
                self.answer(status, b"no", {"Location": site.redirects.get(path, "")})
                return
            site.files |= site.then
            tag = {"ETag": f'"{hashlib.md5(data).hexdigest()}"'} if site.etags else {}
            if site.etags and self.headers.get("If-Match", tag["ETag"]) != tag["ETag"]:
                self.answer(412, b"no", {})
                return
            found = re.fullmatch(r"bytes=(\d+)-(\d*)", asked) if site.ranges else None
            if not found:
                self.answer(200, data, tag)
                return
            first, last = int(found[1]), int(found[2] or len(data))
            if first >= len(data):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            last = min(last, len(data) - 1, first + site.largest - 1)
            where = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
            self.answer(206, data[first : last + 1], {**tag, **where})

        do_HEAD = do_GET  # noqa: N815

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers, **site.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "HEAD":
                return
            if site.cuts:
                body, self.close_connection = body[: site.cuts.pop(0)], True
            try:
                for start in range(0, len(body), 1 << 14):
                    self.wfile.write(body[start : start + (1 << 14)])
                    site.sent += len(body[start : start + (1 << 14)])
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def handle(self) -> None:
            with contextlib.suppress(ConnectionResetError):
                super().handle()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        site = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


def offer(site: Site, files: Iterable[Path]) -> str:
    """Make the site a simple index (PEP 503) of these wheels and sdists, and return its URL."""
    links: dict[str, list[str]] = {}
    for file in files:
        name = re.sub(r"[-_.]+", "-", re.split(r"-\d", file.name)[0]).lower()
        data = file.read_bytes()
        site.files[f"/files/{file.name}"] = data
        digest = hashlib.sha256(data).hexdigest()
        links.setdefault(name, []).append(f'<a href="/files/{file.name}#sha256={digest}">{file.name}</a>')
    for name, found in links.items():
        site.files[f"/simple/{name}/"] = b"<!DOCTYPE html>" + "\n".join(found).encode()
    site.headers["Content-Type"] = "text/html"
    return f"{site.url}/simple/"

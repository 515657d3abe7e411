"""A proxy before an S3 server that plays the refusals of vendors and networks."""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Asked:
    """A request of a client."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    """The names in lower case."""


@dataclass(frozen=True)
class Answer:
    """What the proxy answers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def refusal(code: str, message: str, status: int, more: str = "", **headers: str) -> Answer:
    """The answer of an S3 server that refuses; underscores in the names of headers are hyphens."""
    body = f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>".encode()
    return Answer(
        status, body, {name.replace("_", "-"): value for name, value in headers.items()} | {"X-Test": "1"}
    )


Fault = Callable[[Asked], Answer | None]


class Proxy:
    """Passes requests on, if neither `before` nor (with the request done) `after` answers it."""

    def __init__(self, upstream: str) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.url = ""
        self.seen: list[Asked] = []
        self.before: Fault = lambda asked: None
        self.after: Fault = lambda asked: None

    def answer(self, asked: Asked, target: str, body: bytes, headers: list[tuple[str, str]]) -> Answer:
        self.seen.append(asked)
        if refused := self.before(asked):
            return refused
        server = http.client.HTTPConnection(self.upstream, timeout=60)
        server.request(asked.method, target, body or None, dict(headers) | {"Content-Length": str(len(body))})
        response = server.getresponse()
        done = Answer(response.status, response.read(), dict(response.getheaders()))
        server.close()
        return self.after(asked) or done


@contextmanager
def proxy(upstream: str, kind: type[Proxy] = Proxy) -> Iterator[Proxy]:
    """Run a proxy before the server at `upstream`, a URL."""
    one = kind(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            passed = [
                (name, value)
                for name, value in self.headers.items()
                if name.lower() not in ("connection", "expect", "content-length")
            ]
            asked = Asked(self.command, parts.path, parts.query, headers)
            answer = one.answer(asked, self.path, body, passed)
            self.send_response(answer.status)
            length = str(len(answer.body))
            for name, value in answer.headers.items():
                if name.lower() == "content-length" and self.command == "HEAD":
                    length = value
                elif name.lower() not in (
                    "connection",
                    "transfer-encoding",
                    "content-length",
                    "date",
                    "server",
                ):
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    one.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield one
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

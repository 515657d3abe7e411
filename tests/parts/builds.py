"""A web server of builds that notes what it was asked, and can answer each time differently."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PIECE = 65536


@dataclass
class Builds:
    """What is served: a path (without its query) to the bodies answered in turn, the last one for ever."""

    url: str
    bodies: dict[str, list[bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    """Paths that are answered by an error page once more before they are served."""
    pause: float = 0
    """How many seconds pass before each 64 KiB but the first."""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, path: str) -> bytes | None:
        with self._guard:
            self.asked.append(path)
            bodies = self.bodies.get(path.partition("?")[0])
            if not bodies:
                return None
            return bodies.pop(0) if len(bodies) > 1 else bodies[0]


@contextmanager
def serve_builds() -> Iterator[Builds]:
    """Serve on a free port of loopback; a path that is not there is a 404 with a page."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path in builds.busy:
                builds.busy.remove(self.path)
                builds.asked.append(self.path)
                self.send_response(503)
                self.end_headers()
                self.wfile.write(b"<html>Busy</html>")
                return
            body = builds.answer(self.path)
            self.send_response(200 if body is not None else 404)
            self.end_headers()
            said = body if body is not None else b"<html>Not found</html>"
            for start in range(0, len(said), PIECE):
                time.sleep(builds.pause if start else 0)
                self.wfile.write(said[start : start + PIECE])

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        builds = Builds(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield builds
        finally:
            server.shutdown()
            thread.join()

"""docs/how-to/fronts.md: its configurations are what `faprelease hosts` prints, and with the rename of a link
real fronts go to the next release."""

import http.client
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.parts.faprelease_command import run as faprelease
from tests.parts.fleet import wait_until
from tests.parts.fronts import free_port, front, nginx_conf, snippets
from tests.parts.site import Site

PATH = "/home/deploy/www/shop"
FRONTS = ["nginx", "caddy", "haproxy"]
CLIENTS = 4
EACH_WAY = 0.4
"""Seconds of requests before and after the rename."""
BACK_SECONDS = 5
"""How soon a process that was down is asked again: nginx's default would be 10."""


def whole(kind: str, folder: Path, run: Path, port: int) -> str:
    """The configuration of the page with these sockets and this port."""
    upstream, site = (text.replace(f"{PATH}/run", str(run)) for text in snippets(kind))
    if kind == "nginx":
        return nginx_conf(folder, upstream + site.replace("listen 80", f"listen 127.0.0.1:{port}"))
    if kind == "caddy":
        site = site.replace("http://shop.example.com", f"http://127.0.0.1:{port}")
        return f"{{\n    admin off\n}}\n{upstream}{site}"
    return site.replace("bind :80", f"bind 127.0.0.1:{port}") + upstream


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def release(version: str, *sockets: Path) -> Iterator[None]:
    """Web processes that answer with their version, and keep connections open as long as a client does."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(200)
            self.send_header("Content-Length", str(len(version)))
            self.end_headers()
            self.wfile.write(version.encode())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ExitStack() as stack:
        for path in sockets:
            server = stack.enter_context(_Server(str(path), Handler))
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
            stack.callback(server.shutdown)
        yield


@dataclass
class Load:
    """Clients that ask a port until they are stopped: GET and POST, fresh and kept-alive connections."""

    port: int
    body: bytes
    """Of the POSTs."""
    answers: list[tuple[float, str]] = field(default_factory=list)
    """When each request began, and the version that answered, or what went wrong."""
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, number: int) -> None:
        keeps, posts = number % 2 == 0, number // 2 % 2 == 0
        method, body = ("POST", self.body) if posts else ("GET", None)
        kept = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self.stop.is_set():
            connection = kept if keeps else http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            began = time.monotonic()
            try:
                connection.request(method, "/", body, {} if keeps else {"Connection": "close"})
                response = connection.getresponse()
                text = response.read().decode()
                self.answers.append((began, text if response.status == 200 else str(response.status)))
            except (OSError, http.client.HTTPException) as error:
                self.answers.append((began, repr(error)))
                connection.close()
            if not keeps:
                connection.close()
            time.sleep(0.002)
        kept.close()

    def since(self, moment: float) -> set[str]:
        return {answer for began, answer in self.answers if began > moment}


@contextmanager
def load(port: int, body: bytes = b"order") -> Iterator[Load]:
    made = Load(port, body)
    threads = [threading.Thread(target=made.run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield made
    finally:
        made.stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def point(link: Path, target: str) -> None:
    """Replace the link by one rename, as a release does."""
    new = link.with_suffix(".new")
    new.symlink_to(target)
    new.replace(link)


@pytest.mark.front
@pytest.mark.parametrize("kind", FRONTS)
def test_a_rename_moves_all_new_requests_and_none_fails(kind: str, folder: Path) -> None:
    run, port = folder / "run", free_port()
    names = ["web.sock", "web-2.sock"]
    for number in ("1", "2"):
        (run / number).mkdir(parents=True)
    old, new = ([run / number / name for name in names] for number in ("1", "2"))
    for name in names:
        point(run / name, f"1/{name}")
    with ExitStack() as stack:
        warm = stack.enter_context(ExitStack())
        warm.enter_context(release("1", *old))
        stack.enter_context(release("2", *new))
        stack.enter_context(front(kind, folder / "front", whole(kind, folder / "front", run, port), port))
        clients = stack.enter_context(load(port))
        time.sleep(EACH_WAY)
        assert clients.since(0) == {"1"}
        for name in names:
            point(run / name, f"2/{name}")
        switched = time.monotonic()
        time.sleep(EACH_WAY)  # the old one is warm, and nobody must go there
        assert clients.since(switched) == {"2"}
        warm.close()
        for path in old:
            path.unlink()
        time.sleep(EACH_WAY)
        assert clients.since(switched) == {"2"}
    assert {answer for _, answer in clients.answers} == {"1", "2"}
    assert len(clients.answers) > 100


@pytest.mark.front
@pytest.mark.parametrize("kind", FRONTS)
def test_a_process_that_is_down_costs_no_request_and_is_asked_again_when_it_is_back(
    kind: str, folder: Path
) -> None:
    run, port = folder / "run", free_port()
    run.mkdir()
    with ExitStack() as stack:
        stack.enter_context(release("1", run / "web.sock"))
        late = stack.enter_context(ExitStack())
        stack.enter_context(front(kind, folder / "front", whole(kind, folder / "front", run, port), port))
        # Debian's Caddy has the bug that the page names: it loses the body of a refused POST.
        clients = stack.enter_context(load(port, b"" if kind == "caddy" else b"order"))
        time.sleep(EACH_WAY)
        assert clients.since(0) == {"1"}
        late.enter_context(release("2", run / "web-2.sock"))
        wait_until(lambda: "2" in clients.since(0), "the second process is asked", BACK_SECONDS)
    assert clients.since(0) == {"1", "2"}


@pytest.mark.parametrize("kind", FRONTS)
def test_the_page_shows_what_hosts_prints(kind: str, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.deploy_yml.write_text(
        "app_name: shop\nplugins: [curl, supervisorctl]\nhandover: beside\nprocesses: {web: 2, worker: 1}\n"
        "stage_role_configs: {production: {web: {hosts: [app1, app2]}}}\n"
    )
    printed = faprelease(site, "hosts", "production", "web", "--format", kind)
    assert printed.stdout == snippets(kind)[0], printed.stderr

"""A store behind a web server: read-only, without a listing."""

import os
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Link, Unfinished
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError, StoreError, UnreachableError, VerificationError
from artifact_store.store.store import Store, open_store
from tests.parts.tgz import tgz


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder and notes what it was asked for.

    Paths with a part in `refused` get that status, those with one in `cut` lose that many bytes.
    """

    asked: list[str]
    refused: dict[str, int]
    cut: dict[str, int]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        for part, status in self.refused.items():
            if part in self.path:
                self.send_error(status)
                return
        super().do_GET()

    def copyfile(self, source: object, outputfile: object) -> None:
        data = source.read()
        cut = sum(length for part, length in self.cut.items() if part in self.path)
        outputfile.write(data[: len(data) - cut])

    def guess_type(self, path: object) -> str:
        return "application/gzip"

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


class Site:
    """A folder store and the server in front of it."""

    def __init__(self, folder: Path) -> None:
        self.handler = type("H", (Handler,), {"asked": [], "refused": {}, "cut": {}})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), partial(self.handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.behind = open_store(str(folder / "my store"))

    @property
    def store(self) -> Store:
        return open_store(f"{self.url}/my%20store/")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()


@pytest.fixture
def shop(site: Site, tmp_path: Path) -> Site:
    for version in ("1+dirty.0a", "2"):
        site.behind.artifacts.publish(tgz(tmp_path, version=version), by=Actor("ann"))
    return site


def test_a_version_is_found_and_fetched(shop: Site, tmp_path: Path) -> None:
    record = shop.store.artifacts.get("shop", "1+dirty.0a")
    assert record == shop.behind.artifacts.get("shop", "1+dirty.0a")
    fetched = shop.store.artifacts.fetch("shop", "1+dirty.0a", tmp_path / "fetched.tgz")
    assert fetched.read_bytes() == (tmp_path / "shop-1+dirty.0a.tgz").read_bytes()


def test_its_url_is_plain(shop: Site) -> None:
    record = shop.behind.artifacts.get("shop", "1+dirty.0a")
    folder = f"{record.digest}/{record.operation}"
    url = shop.store.artifacts.link("shop", "1+dirty.0a", timedelta(hours=1))
    path = f"my%20store/shop/artifacts/1%2Bdirty.0a/{folder}/shop-1%2Bdirty.0a.tgz"
    assert url == Link(f"{shop.url}/{path}")


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5, 8, 21])
def test_the_log_is_read_without_a_listing(shop: Site, length: int) -> None:
    for number in range(length):
        shop.behind.stages.promote("shop", ("2", "1+dirty.0a")[number % 2], "staging", by=Actor("ann"))
    assert shop.store.stages.head("shop", "staging") == shop.behind.stages.head("shop", "staging")
    # Doubling, halving, and the first entry, which names the origin of the log.
    assert len(shop.handler.asked) <= 2 * length.bit_length() + 2
    assert shop.store.stages.history("shop", "staging") == shop.behind.stages.history("shop", "staging")


def test_a_reader_asks_on_from_what_it_has_seen(shop: Site) -> None:
    for number in range(9):
        shop.behind.stages.promote("shop", ("2", "1+dirty.0a")[number % 2], "staging", by=Actor("ann"))
    store = shop.store
    store.stages.head("shop", "staging")
    shop.handler.asked.clear()
    state = store.stages.head("shop", "staging")
    assert state is not None
    assert state.number == 9
    assert [path.rsplit("/", 1)[1] for path in shop.handler.asked] == ["00000010.json"]


def test_forbidden_is_not_missing(shop: Site) -> None:
    shop.handler.refused = {"stages": 403, "artifacts": 401}
    with pytest.raises(StoreError, match="responds with 403, maybe because the file is missing") as error:
        shop.store.stages.head("shop", "staging")
    assert not isinstance(error.value, NotFoundError)
    with pytest.raises(StoreError, match="responds with 401"):
        shop.store.artifacts.get("shop", "2")


def test_gone_is_missing_and_a_broken_server_is_an_error(shop: Site) -> None:
    shop.handler.refused = {"stages/a": 410, "stages/b": 502}
    assert shop.store.stages.head("shop", "a") is None
    with pytest.raises(StoreError, match="responds with 502"):
        shop.store.stages.head("shop", "b")


def test_a_version_that_is_not_there(shop: Site) -> None:
    with pytest.raises(NotFoundError, match="does not contain shop 3"):
        shop.store.artifacts.get("shop", "3")


def test_it_is_read_only_and_lists_nothing(shop: Site, one: Path) -> None:
    with pytest.raises(StoreError, match="is read-only"):
        shop.store.artifacts.publish(one, by=Actor("ann"))
    with pytest.raises(StoreError, match="is read-only"):
        shop.store.stages.promote("shop", "2", "staging", by=Actor("ann"))
    blobs = open_blobs(shop.url)
    for refused in (
        lambda: blobs.delete("a"),
        lambda: blobs.abort(Unfinished("a", "", 0, datetime.now(UTC))),
    ):
        with pytest.raises(StoreError, match="is read-only"):
            refused()
    for call in (lambda: blobs.listing(""), lambda: blobs.unfinished("")):
        with pytest.raises(StoreError, match="can't be listed"):
            call()
    for call in (
        shop.store.artifacts.apps,
        lambda: shop.store.artifacts.list("shop"),
        lambda: (entry.state for entry in shop.store.stages.last_entries("shop")),
    ):
        with pytest.raises(StoreError, match="can't be listed"):
            call()


class Anything(Handler):
    """Answers 200 with a page to whatever it has no file for, as servers of single-page apps do."""

    def do_GET(self) -> None:
        if Path(self.translate_path(self.path)).is_file():
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"<html>")


@pytest.mark.timeout(60)
def test_a_server_that_has_every_file_is_no_store(shop: Site) -> None:
    shop.behind.stages.promote("shop", "2", "staging", by=Actor("ann"))
    record = shop.behind.artifacts.get("shop", "2")
    shop.server.RequestHandlerClass = partial(
        type("A", (Anything,), {"asked": [], "refused": {}, "cut": {}}),
        directory=shop.server.RequestHandlerClass.keywords["directory"],
    )
    with pytest.raises(StoreError, match="answers 200 for files that do not exist") as error:
        shop.store.stages.head("shop", "staging")
    assert "404" in error.value.hint
    with pytest.raises(StoreError, match="answers 200 for files that do not exist"):
        shop.store.artifacts.withdrawal(record)


def test_a_withdrawal_is_seen_without_a_listing(shop: Site) -> None:
    shop.behind.stages.promote("shop", "2", "staging", by=Actor("ann"))
    assert shop.store.stages.head_with_link("shop", "staging")
    shop.behind.artifacts.withdraw("shop", "2", Actor("ann"), "CVE")
    shop.behind.artifacts.withdraw("shop", "2", Actor("bob"), "CVE, too")
    with pytest.raises(VerificationError, match="shop 2 was withdrawn by ann: CVE"):
        shop.store.stages.head_with_link("shop", "staging")
    shop.handler.asked.clear()
    record = shop.store.artifacts.get("shop", "2")
    assert [each.who for each in shop.store.notary.withdrawals(record)] == ["ann", "bob"]
    assert [path.rsplit("/", 1)[1] for path in shop.handler.asked[1:]] == [
        f"{number:08d}.json" for number in (1, 2, 3)
    ]


@pytest.mark.slow
def test_a_download_that_is_cut_is_not_seen_and_goes_on_later(shop: Site, tmp_path: Path) -> None:
    target = tmp_path / "fetched"
    target.mkdir()
    shop.handler.cut = {".tgz": 100}
    with pytest.raises(UnreachableError):
        shop.store.artifacts.fetch("shop", "2", target)
    (part,) = target.iterdir()
    assert part.name.startswith(".shop-2.tgz.")
    assert part.stat().st_size == (tmp_path / "shop-2.tgz").stat().st_size - 100
    shop.handler.cut = {}
    assert (
        shop.store.artifacts.fetch("shop", "2", target).read_bytes() == (tmp_path / "shop-2.tgz").read_bytes()
    )
    assert [path.name for path in target.iterdir()] == ["shop-2.tgz"]


def test_what_is_left_of_a_download_is_not_trusted(shop: Site, tmp_path: Path) -> None:
    digest = shop.behind.artifacts.get("shop", "2").digest
    target = tmp_path / "fetched"
    target.mkdir()
    for left in (b"rubbish", b"longer than it should be" * 1000):
        (target / f".shop-2.tgz.{digest[:16]}.part").write_bytes(left)
        fetched = shop.store.artifacts.fetch("shop", "2", target)
        assert fetched.read_bytes() == (tmp_path / "shop-2.tgz").read_bytes()
        fetched.unlink()


class Expiring(Handler):
    """Sends everyone on to a URL that works once; the bytes from there break off after 100 000."""

    used: list[str]
    ranges: list[str | None]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        path, _, token = self.path.partition("?once=")
        if not path.endswith(".tgz"):
            super().do_GET()
        elif not token:
            self.send_response(307)
            self.send_header("Location", f"{path}?once={len(self.asked)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif token in self.used:
            self.send_error(403)
        else:
            self.used.append(token)
            self._send_some(Path(self.translate_path(path)).read_bytes())

    def _send_some(self, data: bytes) -> None:
        wanted = self.headers.get("Range")
        self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(data[start : start + 100_000])
        self.close_connection = True


def test_a_download_goes_on_where_it_was_cut_by_a_url_asked_for_anew(shop: Site, tmp_path: Path) -> None:
    artifact = tgz(tmp_path, version="3", files={"data": os.urandom(250_000)})
    shop.behind.artifacts.publish(artifact, by=Actor("ann"))
    expiring = type("E", (Expiring,), {"asked": [], "refused": {}, "cut": {}, "used": [], "ranges": []})
    shop.server.RequestHandlerClass = partial(expiring, directory=str(tmp_path))
    (tmp_path / "alone").mkdir()
    fetched = shop.store.artifacts.fetch("shop", "3", tmp_path / "alone/fetched.tgz")
    assert fetched.read_bytes() == artifact.read_bytes()
    assert expiring.ranges == [None, "bytes=100000-", "bytes=200000-"]
    assert len(expiring.used) == 3


def test_nobody_answers(site: Site) -> None:
    store = site.store
    site.server.socket.close()
    with pytest.raises(UnreachableError, match=re.escape("127.0.0.1")) as error:
        store.artifacts.get("shop", "1")
    assert error.value.exit_code == 7

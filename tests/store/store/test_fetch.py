"""`fetch` downloads only what other versions beside the file lack."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from artifact_store.core.actor import Actor
from artifact_store.store.store import Store, open_store
from artifact_store.trust.rules import NO_RULES
from tests.parts.tgz import tgz
from tests.parts.webserver import Site, serve

NOISE = {name: Random(name).randbytes(300_000) for name in ("a", "b", "c")}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Site, Store]]:
    """A store with two versions, of which one file of four differs, behind a web server."""
    folder = tmp_path / "store"
    store = open_store(f"file://{folder}", NO_RULES)
    for version in ("1", "2"):
        files = {**NOISE, "app.py": f"VERSION = {version!r}\n".encode()}
        archive = tgz(tmp_path, version=version, files=files, wheels={})
        store.artifacts.publish(archive, by=Actor("ci"))
    with serve() as site:
        for path in filter(Path.is_file, folder.rglob("*")):
            site.files[f"/{path.relative_to(folder)}"] = path.read_bytes()
        yield site, open_store(site.url, NO_RULES)


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


def fetched(store: Store, version: str, to: Path) -> str:
    return sha256(store.artifacts.fetch("shop", version, to).read_bytes()).hexdigest()


def digest(store: Store, version: str) -> str:
    return store.artifacts.present("shop", version).digest


def test_a_second_version_costs_what_differs(served: tuple[Site, Store], downloads: Path) -> None:
    site, store = served
    assert fetched(store, "1", downloads) == digest(store, "1")
    assert site.sent > 900_000
    before = site.sent
    assert fetched(store, "2", downloads) == digest(store, "2")
    assert site.sent - before < 200_000
    assert not list(downloads.glob(".*.part"))


def test_a_damaged_version_beside_it_costs_a_download(served: tuple[Site, Store], downloads: Path) -> None:
    site, store = served
    first = store.artifacts.fetch("shop", "1", downloads)
    data = bytearray(first.read_bytes())
    data[-400_000] ^= 1
    first.write_bytes(data)
    (downloads / "shop-0.tgz").write_bytes(b"no artifact")
    before = site.sent
    assert fetched(store, "2", downloads) == digest(store, "2")
    assert site.sent - before > 900_000


def test_a_server_without_ranges_sends_all(served: tuple[Site, Store], downloads: Path) -> None:
    site, store = served
    fetched(store, "1", downloads)
    site.ranges = False
    assert fetched(store, "2", downloads) == digest(store, "2")

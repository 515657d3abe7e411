"""Inspecting an artifact by URL: how little is downloaded, odd servers, and secrets that stay hidden."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifact_store.artifact.peek import open_source, peek
from artifact_store.core.errors import (
    FapError,
    NotFoundError,
    StoreError,
    UnreachableError,
    VerificationError,
)
from artifact_store.core.urls import redact_url
from fapbuild.inspecting import single_file, summary
from tests.parts.artifacts import artifact, project_file
from tests.parts.project import Project
from tests.parts.webserver import Site, serve

SECRET = "X-Amz-Signature=topsecret"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8 MB and more, with a pyproject.toml that names its assets."""
    files = {
        "app.py": b"print()",
        "pyproject.toml": project_file("static/dist"),
        "static/dist/app.js": b"x" * 2000,
        "photo.jpg": os.urandom(8 << 20),
    }
    return artifact(tmp_path_factory.mktemp("large") / "shop-1.tgz", files)


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact whose manifest is longer than the first request."""
    files = {f"{os.urandom(20).hex()}.py": b"" for _ in range(6000)}
    return artifact(tmp_path_factory.mktemp("wide") / "shop-1.tgz", files)


def facts(where: str) -> dict[str, object]:
    with open_source(where) as source:
        found = peek(source)
        return summary.facts(found, single_file.settings(source, found))


def test_only_the_manifest_and_the_settings_are_fetched(site: Site, large: Path) -> None:
    site.files["/shop-1.tgz"] = large.read_bytes()
    told = facts(f"{site.url}/shop-1.tgz")
    assert told == facts(str(large))
    assert told["size"] == large.stat().st_size
    assert told["parts"]["assets"] == {"files": 1, "size": 2000}  # type: ignore[index]
    assert [wanted.partition("-")[0] for _, wanted in site.asked][:1] == ["bytes=0"]
    assert len(site.asked) == 2
    assert site.sent < 40_000


@pytest.mark.parametrize("largest", [1 << 40, 50_000])
def test_a_long_manifest_takes_a_few_ranges_more(site: Site, wide: Path, largest: int) -> None:
    site.files["/shop-1.tgz"] = wide.read_bytes()
    site.largest = largest
    with open_source(f"{site.url}/shop-1.tgz") as source:
        found = peek(source)
    assert len(found.manifest.files) == 6001
    assert found.first > 100_000
    assert 3 <= len(site.asked) <= 8
    assert site.sent < 2 * found.first + 40_000


def test_without_ranges_the_stream_is_cut_after_the_manifest(site: Site, large: Path) -> None:
    site.files["/shop-1.tgz"] = large.read_bytes()
    site.ranges = False
    told = facts(f"{site.url}/shop-1.tgz")
    assert (told["version"], told["size"]) == ("1", large.stat().st_size)
    assert "assets" not in told["parts"]  # type: ignore[operator]
    assert len(site.asked) == 1
    assert site.sent < 3_000_000


def test_an_unknown_length_is_computed_from_the_manifest(site: Site, large: Path) -> None:
    site.files["/shop-1.tgz"] = data = large.read_bytes()
    site.headers = {"Content-Range": "bytes 0-32767/*"}
    with open_source(f"{site.url}/shop-1.tgz") as source:
        assert peek(source).size == len(data)


def test_a_redirect_is_followed(site: Site, large: Path, project: Project) -> None:
    site.files["/real.tgz"] = large.read_bytes()
    site.redirects["/shop"] = f"{site.url}/real.tgz?{SECRET}"
    done = project.run("inspect", f"{site.url}/shop")
    assert done.returncode == 0
    assert done.stdout.startswith("shop 1\n")
    assert site.asked[1][0] == f"/real.tgz?{SECRET}"
    assert "topsecret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("misbehave", "error", "words"),
    [
        ({"status": 404}, NotFoundError, "does not exist"),
        ({"status": 403}, StoreError, "the server responds with 403 Forbidden"),
        ({"status": 500}, StoreError, "the server responds with 500"),
        ({"headers": {"Content-Range": "bytes 5-32772/99999"}}, StoreError, "a different range"),
        ({"headers": {"Content-Range": "lines 0-5"}}, StoreError, "a different range"),
        ({"headers": {"Content-Range": "bytes 0-32767/99999999"}}, VerificationError, "has 99999999 bytes"),
        ({"files": {"/shop-1.tgz": b"<html>Sign in</html>"}}, VerificationError, "looks like an HTML page"),
        ({"files": {"/shop-1.tgz": b""}}, VerificationError, "looks like an empty file"),
        ({"files": {"/shop-1.tgz": b"\x1f\x8b" + bytes(100)}}, VerificationError, "is damaged"),
        ({"redirects": {"/shop-1.tgz": "ftp://example.com/?topsecret"}}, UnreachableError, "protocol"),
        ({"redirects": {"/shop-1.tgz": "/shop-1.tgz?topsecret"}}, StoreError, "too many redirects"),
    ],
)
def test_other_answers_are_refused(
    site: Site, large: Path, misbehave: dict[str, object], error: type[FapError], words: str
) -> None:
    site.files["/shop-1.tgz"] = large.read_bytes()
    for name, value in misbehave.items():
        setattr(site, name, value)
    with pytest.raises(error, match=words) as raised:
        facts(f"{site.url}/shop-1.tgz?{SECRET}")
    assert "topsecret" not in raised.value.message + raised.value.hint
    assert raised.value.hint


def test_a_file_that_was_cut(site: Site, large: Path, wide: Path) -> None:
    site.files = {"/large.tgz": large.read_bytes()[:-1], "/wide.tgz": wide.read_bytes()[:50_000]}
    with pytest.raises(VerificationError, match=f"has {large.stat().st_size - 1} bytes"):
        facts(f"{site.url}/large.tgz")
    with pytest.raises(VerificationError, match=r"wide\.tgz is cut short after 50000 bytes"):
        facts(f"{site.url}/wide.tgz")


def test_a_damaged_member_is_an_error(site: Site, large: Path) -> None:
    with open_source(str(large)) as source:
        found = peek(source)
    data = bytearray(large.read_bytes())
    for offset in found.manifest.offsets[:-1]:
        data[found.first + offset + 20] ^= 1
    site.files["/shop-1.tgz"] = bytes(data)
    with pytest.raises(VerificationError, match=r"the gzip member with pyproject\.toml is damaged"):
        facts(f"{site.url}/shop-1.tgz")


def test_a_name_that_leaves_the_folder_is_only_a_name(site: Site, large: Path) -> None:
    site.files["/..%2F..%2Fshop"] = large.read_bytes()
    assert facts(f"{site.url}/..%2F..%2Fshop")["app"] == "shop"


@pytest.mark.parametrize("command", [["inspect"], ["diff", "-"]])
def test_a_url_comes_by_standard_input_and_stays_secret(
    site: Site, large: Path, project: Project, command: list[str]
) -> None:
    site.files["/shop-1.tgz"] = large.read_bytes()
    url = f"{site.url.replace('//', '//me:hunter2@')}/shop-1.tgz?{SECRET}"
    done = project.run(*command, "-", stdin=f"{url}\n" * 2)
    assert done.returncode == 0, done.stderr
    assert site.asked[0][0] == f"/shop-1.tgz?{SECRET}"
    assert "topsecret" not in done.stdout + done.stderr
    site.status = 403
    done = project.run(*command, "-", stdin=f"{url}\n" * 2)
    assert done.returncode == 1
    assert f"{site.url}/shop-1.tgz: the server responds with 403 Forbidden" in done.stderr
    assert "topsecret" not in done.stderr
    assert "hunter2" not in done.stderr


def test_a_server_that_is_down(project: Project) -> None:
    with serve() as gone:
        url = gone.url
    done = project.run("inspect", f"{url}/shop-1.tgz?{SECRET}")
    assert done.returncode == 7
    assert f"{url}/shop-1.tgz: " in done.stderr
    assert "topsecret" not in done.stderr


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("s3://bucket/shop-1.tgz?topsecret", "s3:// URLs can't be read"),
        ("http://[::1/shop.tgz?topsecret", "http://[::1/shop.tgz can't be read"),
        ("http:///shop.tgz?topsecret", "http:///shop.tgz"),
    ],
)
def test_urls_that_name_nothing(project: Project, where: str, said: str) -> None:
    done = project.run("inspect", where)
    assert done.returncode in (1, 2, 7)
    assert said in done.stderr
    assert "topsecret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_url_is_shown_without_what_may_be_secret() -> None:
    assert redact_url("https://me:pw@host:8/a/b.tgz?sig=1#part") == "https://host:8/a/b.tgz"
    assert redact_url("https://host/a@b.tgz") == "https://host/a@b.tgz"

"""Reading and checking the file of an artifact."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_store.artifact import archive
from artifact_store.artifact.archive import NoManifestError, read_manifest, verify
from artifact_store.artifact.manifest import MANIFEST_PATH, File, Member, encode
from artifact_store.core.errors import UsageError, VerificationError
from tests.parts.tgz import entry, squeeze, symlink, tgz


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tgz(tmp_path_factory.mktemp("artifact"), files={"app.py": b"a" * 3000, "web/x.css": b"b"})


def test_the_manifest_is_read(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    assert (manifest.app, manifest.version) == ("shop", "1")
    assert manifest.files[0] == File("app.py", 0o644, 3000)


def test_a_whole_artifact_passes(artifact: Path) -> None:
    assert verify(artifact) == read_manifest(artifact)


def test_a_scan_tells_the_digest_and_size(artifact: Path) -> None:
    with artifact.open("rb") as file:
        found = archive.scan(file, artifact.name)
    assert found.digest == hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert found.size == artifact.stat().st_size


@pytest.mark.parametrize(
    ("content", "look"),
    [
        (b"\n<!DOCTYPE html><html><body>404</body></html>", "an HTML page"),
        (b"<html>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (b'{"message": "not found"}', "a JSON document"),
        (b"", "an empty file"),
        (b"PK\x03\x04rest", "a zip file"),
        (b"#!/bin/sh\necho hello\n", "text"),
        (entry("app.py", b"x"), "an uncompressed tar"),
        (b"\x7fELF\x00\xff", "a binary file"),
    ],
)
def test_what_is_no_artifact_is_told_by_its_looks(tmp_path: Path, content: bytes, look: str) -> None:
    path = tmp_path / "shop-1.tgz"
    path.write_bytes(content)
    with pytest.raises(VerificationError, match=look) as error:
        read_manifest(path)
    assert error.value.exit_code == 6
    assert error.value.hint


def test_a_tgz_of_another_maker(tmp_path: Path) -> None:
    path = tmp_path / "other.tgz"
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("app.py"), io.BytesIO())
    with pytest.raises(NoManifestError, match="its first entry is not"):
        read_manifest(path)


def test_gzip_without_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"just a log\n" * 100))
    with pytest.raises(NoManifestError, match="but not a tar"):
        read_manifest(path)


@pytest.mark.parametrize("text", [b"{}", b"not json", b'{"format": "fap/1"}', b'{"format":"fap/3"}', b"\xff"])
def test_a_manifest_that_is_none(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "shop-1.tgz"
    path.write_bytes(squeeze(entry(MANIFEST_PATH, text)))
    with pytest.raises(VerificationError):
        read_manifest(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        read_manifest(tmp_path / "nothing.tgz")
    with pytest.raises(UsageError, match="Is a directory"):
        verify(tmp_path)


def test_other_bytes_in_a_wheel(tmp_path: Path) -> None:
    path = tgz(tmp_path, stored={"wheels/click-8-py3-none-any.whl": b"another wheel, as long"[:18]})
    with pytest.raises(VerificationError, match=r"the sha256 of .* differs from the manifest"):
        verify(path)


def test_another_size_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match=r"'app\.py' differs from the manifest"):
        verify(tgz(tmp_path, stored={"app.py": b"longer than it was said to be"}))


@pytest.mark.parametrize(
    "extra",
    [
        entry("extra.py", b"x"),
        entry("app.py", b"print('hello')\n"),
        entry("../../etc/passwd", b"x"),
        symlink("link", "/etc"),
    ],
)
def test_entries_that_the_manifest_does_not_list(tmp_path: Path, extra: bytes) -> None:
    with pytest.raises(VerificationError, match="is not in the manifest, or is in the tar twice"):
        verify(tgz(tmp_path, extra=extra))


@pytest.mark.parametrize("name", ["/etc/passwd", "../passwd", "a/../../passwd"])
def test_a_manifest_that_lists_what_leads_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(VerificationError, match="points outside the folder"):
        verify(tgz(tmp_path, files={name: b"x"}))


def with_link(folder: Path, mode: int, target: str) -> Path:
    """An artifact whose `web/x` is a link to `target`, listed with `mode`."""
    path = tgz(folder, files={"web/x": b""}, wheels={})
    manifest = read_manifest(path)
    link, end = squeeze(symlink("web/x", target)), squeeze(bytes(1024))
    forged = msgspec.structs.replace(
        manifest,
        files=(File("web/x", mode, 0),),
        members=tuple(
            Member(len(member), hashlib.sha256(member).hexdigest(), entries)
            for member, entries in ((link, 1), (end, 0))
        ),
    )
    path.write_bytes(squeeze(entry(MANIFEST_PATH, encode(forged))) + link + end)
    return path


def test_a_manifest_that_lists_nothing_at_all(tmp_path: Path) -> None:
    path = tgz(tmp_path)
    manifest = msgspec.structs.replace(read_manifest(path), files=(), wheels=(), members=())
    path.write_bytes(squeeze(entry(MANIFEST_PATH, encode(manifest))))
    with pytest.raises(VerificationError, match="is not the end mark of the tar"):
        verify(path)


def test_links_inside_are_fine(tmp_path: Path) -> None:
    assert verify(with_link(tmp_path, 0o120777, "../app.py")).files[0].path == "web/x"


def test_a_file_that_is_a_link_instead(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="'web/x' differs from the manifest"):
        verify(with_link(tmp_path, 0o644, "app.py"))


@pytest.mark.parametrize("target", ["/etc/passwd", "../../passwd", "a/../../../passwd", "../.."])
def test_a_link_that_leads_out(tmp_path: Path, target: str) -> None:
    with pytest.raises(VerificationError, match="points outside the folder"):
        verify(with_link(tmp_path, 0o120777, target))


def test_bytes_after_the_end(artifact: Path, tmp_path: Path) -> None:
    path = tmp_path / "longer.tgz"
    path.write_bytes(artifact.read_bytes() + b"\0")
    with pytest.raises(VerificationError, match="bytes after the last"):
        verify(path)


@given(cut=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_is_refused(artifact: Path, tmp_path: Path, cut: float) -> None:
    whole = artifact.read_bytes()
    path = tmp_path / "cut.tgz"
    path.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(VerificationError):
        verify(path)


@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_changed_byte_behind_the_manifest_is_refused(
    artifact: Path, tmp_path: Path, place: float, change: int
) -> None:
    whole = bytearray(artifact.read_bytes())
    behind = sum(member.length for member in read_manifest(artifact).members)
    whole[len(whole) - behind + int(behind * place)] ^= change
    path = tmp_path / "changed.tgz"
    path.write_bytes(whole)
    with pytest.raises(VerificationError, match="damaged"):
        verify(path)


@given(
    content=st.one_of(
        st.binary(max_size=2000),
        st.binary(max_size=2000).map(squeeze),
        st.binary(max_size=512).map(lambda data: squeeze(entry(MANIFEST_PATH, data))),
        st.tuples(st.integers(0, 511), st.integers(1, 255)).map(
            lambda change: squeeze(_with_changed_header(*change))
        ),
    )
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_else_is_raised_whatever_the_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "any.tgz"
    path.write_bytes(content)
    with pytest.raises(VerificationError):
        read_manifest(path)


def _with_changed_header(place: int, change: int) -> bytes:
    header = bytearray(entry(MANIFEST_PATH, b"{}"))
    header[place] ^= change
    return bytes(header)

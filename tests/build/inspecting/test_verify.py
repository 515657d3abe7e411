"""The problems that `fapbuild verify` reports."""

import gzip
import hashlib
import sys
import zipfile
from pathlib import Path

import msgspec
import pytest

from artifact_store.artifact.archive import read_manifest
from artifact_store.artifact.manifest import Builder
from artifact_store.core.errors import UsageError, VerificationError
from fapbuild.inspecting.verify import verify
from fapbuild.project import platforms
from tests.parts.artifacts import CLICK, artifact, lock_of
from tests.parts.compiled import HERE, forged, true_bytecode
from tests.parts.project import Project
from tests.parts.wheelhouse import make_wheel

TWO = {**CLICK, "flask-3.0-py3-none-any.whl": b"not really a wheel either"}


def test_what_was_packed_is_right(packed: Path, project: Project) -> None:
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    done = project.run("verify", str(packed))
    assert (done.returncode, done.stdout) == (0, f"{packed} {digest}\n")
    assert " is intact: " in done.stderr
    found = verify(packed)
    assert (found.digest, found.size) == (digest, packed.stat().st_size)
    told = msgspec.json.decode(project.run("verify", "--json", str(packed)).stdout)
    assert (told["app"], told["digest"]) == ("shop", digest)


@pytest.mark.parametrize(
    ("lock", "words"),
    [
        (lock_of(TWO), "lists flask, but wheels/ has no such wheel"),
        (b"# nothing\n", r"wheels/click-8\.0-py3-none-any\.whl is not in requirements\.lock"),
        (lock_of(CLICK).replace(b"8.0", b"8.1"), r"is not the click 8\.1 in requirements\.lock"),
        (lock_of({"click-8.0-py3-none-any.whl": b"other"}), r"is not the click 8\.0 in requirements\.lock"),
        (lock_of(CLICK) + lock_of({"click-8.1-py3-none-any.whl": b"x"}), "pins click more than once"),
        (b"click\n", "is not pinned"),
        (b"\xff", r"requirements\.lock can't be read"),
        (b"", r"has no requirements\.lock"),
    ],
)
def test_a_lock_that_is_not_of_the_wheels(tmp_path: Path, lock: bytes, words: str) -> None:
    with pytest.raises(VerificationError, match=words):
        verify(artifact(tmp_path / "a.tgz", {"app.py": b""}, lock=lock))


def test_a_lock_that_the_manifest_does_not_name(tmp_path: Path) -> None:
    path = artifact(tmp_path / "a.tgz", {"app.py": b""}, said={"lock_digest": "0" * 64})
    with pytest.raises(VerificationError, match="does not match its digest in the manifest"):
        verify(path)


@pytest.mark.parametrize(
    "file", ["click-8.1-py3-none-any.whl", "clack-8.0-py3-none-any.whl", "click-8.0.zip"]
)
def test_a_wheel_that_is_listed_as_another(tmp_path: Path, file: str) -> None:
    data = b"not really a wheel"
    right = read_manifest(artifact(tmp_path / "right.tgz", {}, CLICK)).wheels[0]
    path = artifact(
        tmp_path / "a.tgz",
        {},
        {file: data},
        lock=lock_of(CLICK),
        said={"wheels": (msgspec.structs.replace(right, file=file),)},
    )
    with pytest.raises(VerificationError, match=r"is listed as click 8\.0"):
        verify(path)


def test_names_and_versions_are_compared_as_python_does(tmp_path: Path) -> None:
    wheels = {"Zope.Interface-1.0.0-py3-none-any.whl": b"z"}
    lock = lock_of(wheels).replace(b"Zope.Interface==1.0.0", b"zope-interface==1.0")
    assert verify(artifact(tmp_path / "a.tgz", {}, wheels, lock=lock)).manifest.app == "shop"


def test_any_other_byte_is_found(packed: Path, tmp_path: Path, project: Project) -> None:
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 1
    path = tmp_path / "shop.tgz"
    path.write_bytes(data)
    done = project.run("verify", str(path))
    assert (done.returncode, done.stdout) == (6, "")
    assert "fapbuild: shop.tgz: gzip member " in done.stderr
    assert "hint: download it again" in done.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        verify(tmp_path / "absent.tgz")


def with_bytecode(folder: Path, bytecode: bytes, release: str = HERE.release) -> Path:
    wheel = make_wheel(folder / "house", "parts")
    builder = Builder(name="tests", version="1", compressor="zlib", level=9, bytecode=release)
    path, wheels = folder / "shop.tgz", {wheel.name: wheel.read_bytes()}
    here = {"builder": builder, "target": platforms.this_machine()}
    return artifact(path, {}, wheels, bytecode={wheel.name: bytecode}, said=here)


def test_bytecode_is_compiled_again_and_compared(tmp_path: Path, project: Project) -> None:
    wheel = make_wheel(tmp_path / "house", "parts")
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read("parts.py").decode()
    right = true_bytecode(wheel)
    path = with_bytecode(tmp_path, right)
    done = project.run("verify", str(path))
    assert (done.returncode, "warning" in done.stderr) == (0, False), done.stderr
    for wrong in (
        forged({"parts.py": source}, "import os"),
        right[:-1],
        right + b"x",
        b"nothing",
        forged({}, ""),
    ):
        done = project.run("verify", str(with_bytecode(tmp_path, wrong)))
        assert done.returncode == 6
        assert "wheels/parts-1.0-py3-none-any.whl.bytecode is not the bytecode of its wheel" in done.stderr


def test_bytecode_of_another_python_is_not_called_right(tmp_path: Path, project: Project) -> None:
    minor = "{}.{}".format(*sys.version_info[:2])
    done = project.run("verify", str(with_bytecode(tmp_path, b"anything", f"{minor}.99")))
    assert done.returncode == 1
    assert (
        f"was not compared with its sources: it is of Python {minor}.99, which is not on this" in done.stderr
    )
    assert "is intact" not in done.stderr.replace("everything else is intact", "")


@pytest.mark.parametrize("release", ["", "3.99.1", "3.1"])
def test_bytecode_of_no_python_of_the_target_is_refused(
    release: str, tmp_path: Path, project: Project
) -> None:
    done = project.run("verify", str(with_bytecode(tmp_path, b"anything", release)))
    assert done.returncode == 6
    assert f"says that Python {release!r} compiled its bytecode" in done.stderr


def test_an_entry_that_tarfile_calls_otherwise_is_refused(tmp_path: Path) -> None:
    """Python adds a prefix to names in a header of GNU's format, and nobody else does."""
    path = with_bytecode(tmp_path, b"anything")
    manifest = read_manifest(path)
    tar = bytearray(gzip.decompress(path.read_bytes()))
    at = tar.index(b"wheels/parts-1.0-py3-none-any.whl.bytecode")
    tar[at + 257 : at + 265], tar[at + 345] = b"ustar  \0", ord("x")
    tar[at + 148 : at + 156] = b" " * 8
    tar[at + 148 : at + 156] = b"%06o\0 " % sum(tar[at : at + 512])
    members, start = [], 0
    for first in (0, at, len(tar) - 1024, len(tar)):
        if first:
            members.append(gzip.compress(bytes(tar[start:first]), mtime=0))
        start = first
    assert manifest.format
    refused = tmp_path / "other.tgz"
    refused.write_bytes(b"".join(members))
    with pytest.raises(VerificationError, match=r"prefix that its format does not know"):
        verify(refused)

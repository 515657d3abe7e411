"""The bytes of an artifact: where members are cut, which tools can read them, what an edit changes."""

import errno
import gzip
import hashlib
import io
import itertools
import os
import shutil
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.artifact import archive, reader
from artifact_store.artifact.manifest import MTIME, Manifest, Member, decode
from artifact_store.core.errors import FapError
from fapbuild.archive.joining import Part, join
from fapbuild.archive.members import PIECE, MemberPlan, TarEntry, cut_after, plan_members
from fapbuild.archive.members import members_of as members_by_path
from fapbuild.archive.writer import compress, tar_bytes, write
from fapbuild.cache import Cache
from tests.parts.artifacts import artifact
from tests.parts.host_reader import unpack

names = st.text("abcde/ü", min_size=1, max_size=8).filter(lambda name: all(part for part in name.split("/")))
sizes = st.one_of(st.integers(0, 3000), st.integers(60_000, 70_000))


@st.composite
def trees(draw: st.DrawFn) -> dict[str, int]:
    """Paths that can exist together, with sizes."""
    found = draw(st.dictionaries(names, sizes, min_size=1, max_size=20))
    return {
        path: size for path, size in found.items() if not any(other.startswith(f"{path}/") for other in found)
    }


def entries(tree: dict[str, int], changed: str = "") -> list[TarEntry]:
    made = []
    for path, size in tree.items():
        data = hashlib.shake_128(path.encode()).digest(size)
        if path == changed:
            data = bytes(byte ^ 0xFF for byte in data)
        made.append(TarEntry(path, 0o644, size, data))
    return made


def stream(member: MemberPlan) -> bytes:
    return b"".join(tar_bytes(entry, member.start, member.stop) for entry in member.entries)


def members_of(data: bytes) -> list[bytes]:
    found = []
    while data:
        inflate = zlib.decompressobj(wbits=31)
        inflate.decompress(data)
        found.append(data[: len(data) - len(inflate.unused_data)])
        data = inflate.unused_data
    return found


@given(trees())
def test_the_members_together_are_a_tar_of_the_sorted_paths(tree: dict[str, int]) -> None:
    planned = plan_members(entries(tree))
    data = b"".join(stream(member) for member in planned)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = [(info.name, info.size, info.mode, info.mtime, info.uid, info.uname) for info in tar]
    wanted = sorted(tree.items(), key=lambda item: item[0].encode())
    assert found == [(path, size, 0o644, MTIME, 0, "") for path, size in wanted]


@given(trees(), st.data())
def test_an_edit_changes_the_member_of_that_file_alone(tree: dict[str, int], data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(tree)))
    before = [stream(member) for member in plan_members(entries(tree))]
    after = [stream(member) for member in plan_members(entries(tree, changed=path))]
    assert len(before) == len(after)
    assert sum(one != other for one, other in zip(before, after, strict=True)) == (tree[path] > 0)


@given(trees(), names, sizes)
def test_a_new_file_moves_no_other_cut(tree: dict[str, int], path: str, size: int) -> None:
    if any(path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in tree):
        return
    before = {stream(member) for member in plan_members(entries(tree))}
    after = {stream(member) for member in plan_members(entries({**tree, path: size}))}
    assert len(before - after) <= 1
    assert len(after - before) <= 2


@given(st.lists(st.integers(1, 64), max_size=5))
def test_a_file_over_the_span_always_ends_its_member(extra: list[int]) -> None:
    for number in extra:
        assert cut_after(f"file{number}", 65536 - 1024 + number)


def test_the_rule_of_the_cut_is_that_of_the_format() -> None:
    for path in ("a", "b", "static/app.js", "ü"):
        share = int(hashlib.sha256(path.encode()).hexdigest(), 16) / 2**256
        edge = int(share * 65536) - 1024
        for size in range(max(edge - 2, 0), max(edge + 3, 3)):
            assert cut_after(path, size) == (share < (size + 1024) / 65536)


def test_wheels_are_alone_and_large_files_are_cut_in_pieces() -> None:
    size = 2 * PIECE + 5
    planned = plan_members(
        [
            TarEntry("a", 0o644, 1, b"a"),
            TarEntry("b", 0o644, size, bytes(size)),
            TarEntry("c", 0o644, PIECE, bytes(PIECE)),
            TarEntry("wheels/one.whl", 0o644, 1, b"1"),
            TarEntry("wheels/two.whl", 0o644, 1, b"2"),
            TarEntry("z", 0o644, 1, b"z"),
        ]
    )
    shown = [(["+".join(entry.path for entry in member.entries)], member.start) for member in planned]
    assert shown == [
        (["a"], 0),
        (["b"], 0),
        (["b"], PIECE),
        (["b"], 2 * PIECE),
        (["c"], 0),
        (["z"], 0),
        (["wheels/one.whl"], 0),
        (["wheels/two.whl"], 0),
    ]
    assert [member.begun for member in planned] == [1, 1, 0, 0, 1, 1, 1, 1]
    assert all(len(stream(member)) <= PIECE + 2048 for member in planned)


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), (".fap/manifest.json",)])
def test_paths_that_cannot_lie_together_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(FapError):
        plan_members([TarEntry(path, 0o644, 0, b"") for path in paths])


def test_a_file_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"12345")
    with pytest.raises(FapError, match="log changed while it was being packed"):
        tar_bytes(TarEntry("log", 0o644, 4, path))


@settings(max_examples=20)
@given(st.binary(max_size=100_000))
def test_a_gzip_header_holds_no_name_time_or_system(data: bytes) -> None:
    packed = compress(data)
    assert packed[:4] == b"\x1f\x8b\x08\x00"
    assert packed[4:8] == bytes(4)
    assert packed[9] == 255
    assert gzip.decompress(packed) == data


def test_wheels_are_stored_and_hosts_accept_all_that_is_written(tmp_path: Path) -> None:
    wheel = b"a wheel" * 100_000
    path = artifact(
        tmp_path / "a.tgz", {"app.py": b"x" * 100_000, "zoo": b""}, {"w-1-py3-none-any.whl": wheel}
    )
    data = path.read_bytes()
    assert wheel[:60_000] in data
    assert len(data) < len(wheel) + 5000 + 2 * 4096
    offsets = archive.verify(path).offsets
    first = len(data) - offsets[-1]
    with path.open("rb") as file:
        sizes = [
            reader.stored(file.fileno(), first + start, first + end)
            for start, end in itertools.pairwise(offsets)
        ]
    assert [size for size, _ in sizes if size] == [512 + len(wheel) + -len(wheel) % 512]
    assert isinstance(unpack(path, tmp_path / "host"), dict)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    gone = TarEntry("gone", 0o644, 3, tmp_path / "gone")

    def complete(index: tuple[Member, ...]) -> Manifest:
        raise AssertionError(index)

    with pytest.raises(FileNotFoundError):
        write(plan_members([gone]), complete, tmp_path / "dist" / "a.tgz", Cache(tmp_path / "cache"))
    assert list((tmp_path / "dist").iterdir()) == []


def test_the_manifest_names_its_members_and_everything_else(packed: Path) -> None:
    data = packed.read_bytes()
    first, *others = members_of(data)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(first) + bytes(1024))) as tar:
        (name,) = tar.getnames()
        file = tar.extractfile(name)
        assert file is not None
        manifest = decode(file.read())
    assert name == ".fap/manifest.json"
    expected = [(len(member), hashlib.sha256(member).hexdigest()) for member in others]
    assert [(member.length, member.sha256) for member in manifest.members] == expected
    assert gzip.decompress(others[-1]) == bytes(1024)
    assert manifest.members[-1].entries == 0
    with tarfile.open(packed, "r:gz") as tar:
        paths = tar.getnames()
    files, wheels = [file.path for file in manifest.files], [wheel.file for wheel in manifest.wheels]
    assert paths == [name, *sorted(files), *(f"wheels/{file}" for file in sorted(wheels))]
    assert sum(member.entries for member in manifest.members) == len(files) + len(wheels)
    assert archive.verify(packed) == manifest


READERS = [reader for reader in (["tar"], ["busybox", "tar"], ["bsdtar"]) if shutil.which(reader[0])]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader[0])
def test_plain_tar_unpacks_it(packed: Path, tmp_path: Path, reader: list[str]) -> None:
    subprocess.run([*reader, "xzf", str(packed)], cwd=tmp_path, check=True)
    manifest = archive.read_manifest(packed)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    wheels = {f"wheels/{wheel.file}" for wheel in manifest.wheels}
    assert found == {".fap/manifest.json", *(file.path for file in manifest.files), *wheels}
    for file in manifest.files:
        assert (tmp_path / file.path).stat().st_size == file.size


def test_wheels_lie_at_blocks_of_the_disk(tmp_path: Path) -> None:
    """So that file systems can share them between artifacts."""
    wheels = {f"w{number}-1-py3-none-any.whl": os.urandom(1000 * number + 1) for number in range(1, 6)}
    path = artifact(tmp_path / "a.tgz", {"app.py": b"x" * 70_000, "zoo": b"1"}, wheels)
    manifest = archive.read_manifest(path)
    first = path.stat().st_size - manifest.offsets[-1]
    held = members_by_path(manifest)
    for number in (held[f"wheels/{name}"][0] for name in wheels):
        assert (first + manifest.offsets[number]) % 4096 == 0
        assert manifest.members[number].length % 4096 == 0


@pytest.mark.parametrize("problem", [None, errno.EXDEV, errno.EOPNOTSUPP])
def test_parts_are_joined_with_and_without_the_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: int | None
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(problem, "refused")

    if problem:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    data = source.read_bytes()
    with source.open("rb") as file:
        parts = [Part(source, 5, 2_500_000), Part(file.fileno(), 0, 10), Part(source, 0, 0)]
        digest = join(tmp_path / "joined", b"first", parts)
    joined = (tmp_path / "joined").read_bytes()
    assert joined == b"first" + data[5:2_500_005] + data[:10]
    assert digest == hashlib.sha256(joined).hexdigest()


def test_a_part_that_became_shorter_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"short")
    with pytest.raises(FapError, match="changed while it was being read"):
        join(tmp_path / "joined", b"", [Part(source, 0, 6)])
    assert [path.name for path in tmp_path.iterdir()] == ["source"]

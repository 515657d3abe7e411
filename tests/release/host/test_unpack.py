"""The reader that unpacks on hosts, run as hosts run it, on archives that mean harm or are damaged."""

import gzip
import io
import json
import lzma
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from artifact_store.artifact.manifest import MANIFEST_PATH
from tests.parts.place import Place
from tests.parts.tgz import entry, squeeze, symlink, tgz

END = b"\0" * 1024


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "host")


def special(name: str, kind: bytes, target: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o644
    return info.tobuf(tarfile.PAX_FORMAT)


def header(kind: bytes, data: bytes, size: str = "") -> bytes:
    """A header for the entry that follows it; `size` is another one than that of its data."""
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, len(data)
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    if size:
        block[124:136] = size.encode().ljust(12, b"\0")
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data + bytes(-len(data) % 512)


def tar(*entries: bytes) -> bytes:
    return b"".join(entries) + END


HOSTILE = {
    "absolute": [entry("/tmp/fapkit-evil", b"x")],
    "up": [entry("../evil", b"x")],
    "up in the middle": [entry("a/../../evil", b"x")],
    "up after a dot": [entry("./../evil", b"x")],
    "link out": [symlink("a", "../evil")],
    "absolute link": [symlink("a", "/etc/passwd")],
    "link out through a folder": [symlink("a/b/c", "../../../evil")],
    "link out through a link": [symlink("a/b", ".."), symlink("c", "a/b/..")],
    "file behind a link": [symlink("a", "b"), entry("a/evil", b"x")],
    "file behind a link, doubled slash": [symlink("d/c", "b"), entry("d//c/evil", b"x")],
    "file behind a link, with a dot": [
        symlink("a/b", ".."),
        symlink("d/c", "../a/b/.."),
        entry("d/./c/evil", b"x"),
    ],
    "link spelled with a dot": [symlink("d/./c", "b"), entry("d/c/evil", b"x")],
    "file, then link above it": [entry("a/b", b"x"), symlink("a", "c")],
    "file, then file behind it": [entry("a", b"x"), entry("a/b", b"x")],
    "file, then file above it": [entry("a/b", b"x"), entry("a", b"x")],
    "hard link": [entry("a", b"x"), special("b", tarfile.LNKTYPE, "a")],
    "hard link out": [special("b", tarfile.LNKTYPE, "../../.fap/new.download")],
    "character device": [special("null", tarfile.CHRTYPE)],
    "block device": [special("disk", tarfile.BLKTYPE)],
    "fifo": [special("pipe", tarfile.FIFOTYPE)],
    "twice": [entry("a", b"x"), entry("a", b"y")],
    "twice, spelled differently": [entry("a/b", b"x"), entry("a/./b", b"y")],
    "newline": [entry("a\nb", b"x")],
    "escape": [entry("a\x1b[2J", b"x")],
    "backslash": [entry("a\\b", b"x")],
    "an empty link": [symlink("a", "")],
    "a long name": [entry("/".join(["n" * 200] * 6), b"x")],
    "a deep name": [entry("a/" * 101 + "a", b"x")],
    "a long link": [symlink("a", "n" * 1025)],
    "a size below zero": [header(tarfile.REGTYPE, b"", "-00000001000")],
    "a header with a size below zero": [header(tarfile.XHDTYPE, b"", "-00000001000")],
    "another size below zero": [header(tarfile.XHDTYPE, b"13 size=-512\n"), entry("a", b"x")],
    "a long header": [header(tarfile.XHDTYPE, b"200010 a=" + b"v" * 200_000 + b"\n"), entry("a", b"x")],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tgz"])
def test_hostile_entries_are_refused_and_leave_nothing(
    entries: list[bytes], pack: Callable[[bytes], bytes], place: Place
) -> None:
    done = place.unpack(pack(tar(entry("first", b"x"), *entries)))
    assert done.returncode == 65, done
    assert done.stdout.splitlines()[2].startswith("not an artifact: ")
    assert done.stdout.count("\n") == 3
    assert done.stderr == ""
    assert place.tree() == {"releases", "releases/new"}
    assert not place.facts.exists()
    assert not Path("/tmp/fapkit-evil").exists()


def good(tmp_path: Path, **more: bytes) -> bytes:
    files = {"app.py": b"print('hello')\n" * 5000, **more}
    return tgz(tmp_path, files=files).read_bytes()


def damaged() -> dict[str, Callable[[bytes], bytes]]:
    def plain(data: bytes) -> bytes:
        return gzip.decompress(data)

    def flipped(data: bytes) -> bytes:
        place = len(data) // 2
        return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]

    return {
        "empty": lambda _: b"",
        "html": lambda _: b"<!DOCTYPE html><html><body>404</body></html>\n",
        "json": lambda _: b'{"error": "no such key"}',
        "words": lambda _: b"Not Found\n" * 300,
        "cut": lambda data: data[: len(data) // 2],
        "cut by one byte": lambda data: data[:-1],
        "without its last member": lambda data: data[: data.rindex(b"\x1f\x8b\x08")],
        "tar cut at a member's border": lambda data: plain(data)[: -len(END)].rstrip(b"\0")[:1024],
        "tar without its end mark": lambda data: plain(data)[: -len(END)],
        "tar with half an end mark": lambda data: plain(data)[:-512],
        "tar cut inside a file": lambda data: plain(data)[:5000],
        "flipped": flipped,
        "rubbish after it": lambda data: data + b"rubbish",
        "compressed as hosts can't read it": lambda data: lzma.compress(plain(data)),
        "something behind its end mark": lambda data: data + data,
        "gzip of nothing": lambda _: gzip.compress(b""),
        "gzip of a page": lambda _: gzip.compress(b"<html>busy</html>"),
        "end mark alone": lambda _: END * 10,
    }


@pytest.mark.parametrize("damage", damaged().values(), ids=damaged().keys())
def test_damage_is_refused_and_leaves_nothing(
    damage: Callable[[bytes], bytes], place: Place, tmp_path: Path
) -> None:
    done = place.unpack(damage(good(tmp_path)))
    assert done.returncode == 65, done
    assert done.stdout.splitlines()[2].startswith("not an artifact: ")
    assert done.stderr == ""
    assert place.tree() == {"releases", "releases/new"}
    assert not place.facts.exists()


MANIFESTS = {
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "no json": b"{",
    "not utf-8": b"\xff",
    "nothing in it": b"{}",
    "no app": b'{"format": "fap/1", "files": [], "wheels": []}',
    "an escape": b'{"format":"fap/1","app":"a\\q","version":"1","commit":"c"}',
    "a control character": b'{"format":"fap/1","app":"a","version":"1\n","commit":"c"}',
    "another format": b'{"format": "fap/9", "app": "a", "version": "1", "commit": "c", "files": []}',
}


@pytest.mark.parametrize("text", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_a_manifest_that_is_none_is_refused(text: bytes, place: Place) -> None:
    done = place.unpack(squeeze(tar(entry(MANIFEST_PATH, text))))
    assert done.returncode == 65, done
    assert done.stderr == ""
    assert place.tree() == {"releases", "releases/new"}


def test_an_artifact_of_another_app_is_refused_before_it_is_unpacked(place: Place, tmp_path: Path) -> None:
    archive = tmp_path / "blog.tgz"
    manifest = b'{"format":"fap/1","app":"blog","version":"1","commit":"c"}'
    hostile = entry("../outside", b"never read")
    archive.write_bytes(squeeze(entry(MANIFEST_PATH, manifest)) + squeeze(hostile + bytes(1024)))
    done = place.fetch(archive.as_uri(), "", app="shop")
    assert done.returncode == 65, done
    assert (
        "refused: it is an artifact of the app blog, not of shop (project_name in deploy.yml)" in done.stdout
    )
    assert "outside" not in done.stdout
    assert place.tree() == {"releases", "releases/new"}
    assert not place.facts.exists()


def test_an_artifact_of_the_app_and_one_of_no_app_are_unpacked(place: Place, tmp_path: Path) -> None:
    for number, data in enumerate((good(tmp_path), squeeze(tar(entry("a", b"x"))))):
        archive, there = tmp_path / f"{number}.tgz", Place(tmp_path / str(number))
        archive.write_bytes(data)
        assert there.fetch(archive.as_uri(), "", app="shop").returncode == 0


@pytest.mark.slow
def test_a_manifest_that_swells_takes_no_memory(place: Place) -> None:
    text = b'{"format":"fap/1","app":"a","version":"1","commit":"c"' + b" " * 150_000_000
    done = place.unpack(squeeze(tar(entry(MANIFEST_PATH, text))), "prlimit", "--as=120000000")
    assert done.returncode == 0, done
    assert json.loads(place.facts.read_text())["version"] == "1"


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        (
            (entry("/".join(letter * 250 for letter in "abcd") + f"/{n}", b"") for n in range(35_000)),
            "its names have more than",
        ),
        ((entry(f"{n}/" + "a/" * 98 + "a", b"") for n in range(515)), "it holds more than 50000 folders"),
    ],
    ids=["letters", "folders"],
)
@pytest.mark.slow  # tens of thousands of files
def test_names_without_end_are_refused(entries: Iterable[bytes], why: str) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:  # disks take long for so many files
        place = Place(Path(folder) / "host")
        done = place.unpack(gzip.compress(tar(*entries), 1), "prlimit", "--as=250000000")
        assert done.returncode == 65, done
        assert why in done.stdout
        assert place.tree() == {"releases", "releases/new"}


def test_headers_without_end_take_no_memory(place: Place) -> None:
    records = (b"100010 k%03d=" % n + b"v" * 99_997 + b"\n" for n in range(1000))
    many = tar(*(header(tarfile.XHDTYPE, record) for record in records), entry("a", b"x"))
    done = place.unpack(gzip.compress(many, 1), "prlimit", "--as=80000000")
    assert done.returncode == 0, done
    assert (place.release / "a").read_bytes() == b"x"


def test_an_artifact_is_unpacked_whole(place: Place, tmp_path: Path) -> None:
    data = good(tmp_path)
    done = place.unpack(data)
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[2:] == ["shop 1", f"digest {sha256(data).hexdigest()}"]
    assert place.tree() >= {"releases/new/app.py", "releases/new/.fap/manifest.json"}
    assert (place.release / "app.py").read_bytes() == b"print('hello')\n" * 5000
    digest = sha256(data).hexdigest()
    assert json.loads(place.facts.read_bytes()) == {
        "digest": digest,
        "app": "shop",
        "version": "1",
        "commit": "a" * 40,
    }
    assert {path.name for path in place.facts.parent.iterdir()} == {"new.artifact.json"}
    assert {path.name for path in place.facts.parent.parent.iterdir()} == {"releases", "code"}


def test_one_gzip_member_or_many_are_the_same(place: Place, tmp_path: Path) -> None:
    many = good(tmp_path)
    done = place.unpack(gzip.compress(gzip.decompress(many)))
    assert done.returncode == 0, done


def test_another_makers_archive_is_taken_as_it_is(place: Place) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, mode in (("./bin/run", 0o6755), ("./data", 0o4666), ("./long/" + "n" * 180 + "é", 0o600)):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid, info.uname = 4, mode, 1234, "someone"
            archive.addfile(info, io.BytesIO(b"text"))
        link = tarfile.TarInfo("./bin/again")
        link.type, link.linkname = tarfile.SYMTYPE, "../bin/run"
        archive.addfile(link)
        folder = tarfile.TarInfo("./empty")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o7777
        archive.addfile(folder)
    done = place.unpack(out.getvalue())
    assert done.returncode == 0, done
    assert "fapbuild did not make this archive" in done.stdout
    release = place.release
    assert stat.S_IMODE((release / "bin/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((release / "data").stat().st_mode) == 0o644
    assert stat.S_IMODE((release / "empty").stat().st_mode) & 0o7022 == 0
    assert (release / "bin/again").read_text() == "text"
    assert len(list((release / "long").iterdir())) == 1
    assert (release / "data").stat().st_uid == os.getuid()


def test_a_folder_that_is_full_is_no_fault_of_the_archive(place: Place) -> None:
    info = tarfile.TarInfo("huge")
    info.size = 1 << 62
    done = place.unpack(info.tobuf(tarfile.GNU_FORMAT) + END)
    assert done.returncode == 1, done
    assert "can't fetch and unpack: " in done.stdout
    assert place.tree() == {"releases", "releases/new"}

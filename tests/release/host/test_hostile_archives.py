"""Archives that mean harm, or are odd, in the reader of hosts: refused, or the tree that tar makes of them.

The table is of a red team. What is taken must be what tar unpacks, and must lie inside the release.
"""

import gzip
import subprocess
import tarfile
import time
import zlib
from pathlib import Path

import msgspec
import pytest

from artifact_store.artifact.manifest import MANIFEST_PATH, File, encode
from tests.parts.host_reader import Tree, tree_of, unpack, unpacker
from tests.parts.place import Place
from tests.parts.tgz import entry, manifest_of, squeeze, symlink

END = bytes(1024)
T = tarfile


def special(name: str, kind: bytes = T.REGTYPE, link: str = "", mode: int = 0o644) -> bytes:
    info = T.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info.tobuf(T.USTAR_FORMAT, "utf-8", "surrogateescape")


def raw(
    name: bytes,
    kind: bytes = b"0",
    size: bytes = b"00000000001",
    link: bytes = b"",
    prefix: bytes = b"",
    magic: bytes = b"ustar\x0000",
) -> bytes:
    """A header of exactly these fields."""
    head = bytearray(512)
    fields = {0: name, 100: b"0000644", 108: b"0000000", 116: b"0000000", 124: size, 136: b"00000000000"}
    for at, value in {**fields, 156: kind, 157: link, 257: magic, 345: prefix}.items():
        head[at : at + len(value)] = value
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def pax(key: bytes, value: bytes, kind: bytes = b"x") -> bytes:
    length = len(key) + len(value) + 3
    length += len(str(length + len(str(length))))
    data = b"%d %s=%s\n" % (length, key, value)
    return raw(b"pax", kind, b"%011o" % len(data)) + data + bytes(-len(data) % 512)


def long(kind: bytes, data: bytes) -> bytes:
    return raw(b"././@LongLink", kind, b"%011o" % len(data)) + data + bytes(-len(data) % 512)


X = b"x" + bytes(511)
OK = entry("ok", b"x")

REFUSED = {
    "up": entry("../x", b"x"),
    "up in the middle": entry("a/../../x", b"x"),
    "up alone": special("..", T.DIRTYPE),
    "absolute": entry("/tmp/fapkit-absolute", b"x"),
    "absolute folder": special("/", T.DIRTYPE),
    "backslash": entry("a\\..\\x", b"x"),
    "absolute link": symlink("l", "/etc"),
    "link out": symlink("l", "../x"),
    "file through a link": symlink("l", "d") + entry("l/x", b"x"),
    "up after a link": symlink("a", ".") + symlink("b", "a/../.."),
    "chain of links": entry("d/e/f", b"x") + symlink("d/s", "e") + symlink("t", "d/s/../../.."),
    "hard link": entry("a", b"x") + special("h", T.LNKTYPE, "a"),
    "hard link out": special("h", T.LNKTYPE, "/etc/passwd"),
    "character device": special("c", T.CHRTYPE),
    "block device": special("c", T.BLKTYPE),
    "fifo": special("p", T.FIFOTYPE),
    "contiguous file": special("c", T.CONTTYPE),
    "twice": entry("a", b"x") + entry("a", b"y"),
    "twice, with a dot": entry("a", b"x") + entry("./a", b"y"),
    "file then folder": entry("a", b"x") + entry("a/b", b"x"),
    "folder then file": entry("a/b", b"x") + entry("a", b"x"),
    "folder then link": special("a", T.DIRTYPE) + symlink("a", "b"),
    "link then folder": symlink("a", "b") + special("a", T.DIRTYPE),
    "link then file": symlink("a", "b") + entry("a", b"x"),
    "pax name out": pax(b"path", b"../evil") + OK,
    "pax link out": pax(b"linkpath", b"../../evil") + symlink("l", "ok"),
    "pax size below zero": pax(b"size", b"-1") + OK,
    "pax size that is huge": pax(b"size", b"9" * 19) + OK,
    "pax size that is no number": pax(b"size", b"1_0") + OK,
    "pax name with a zero": pax(b"path", b"a\0/../b") + OK,
    "pax name with a newline": pax(b"path", b"a\nb") + OK,
    "pax name for all": pax(b"path", b"evil", b"g") + OK,
    "pax name twice": pax(b"path", b"a") + pax(b"path", b"b") + OK,
    "pax record without an end": raw(b"pax", b"x", b"%011o" % 9) + b"99 path=a" + bytes(503) + OK,
    "pax record without a key": raw(b"pax", b"x", b"%011o" % 5) + b"5 ab\n" + bytes(507) + OK,
    "long name out": long(b"L", b"../evil\0") + OK,
    "long link out": long(b"K", b"../evil\0") + symlink("l", "ok"),
    "long name and pax name": long(b"L", b"a\0") + pax(b"path", b"b") + OK,
    "long name of 200 KB": long(b"L", bytes(200_000)) + OK,
    "sparse": pax(b"GNU.sparse.major", b"1") + OK,
    "old sparse": raw(b"s", b"S", b"00000000000"),
    "size below zero": raw(b"n", size=b"\xff" * 12),
    "size below zero in octal": raw(b"n", size=b"-0000000001"),
    "size that is huge": raw(b"n", size=b"\x80" + b"\x7f" * 11),
    "size of 10 TB": raw(b"n", size=b"\x80" + (10 << 40).to_bytes(11, "big")),
    "size with an underscore": raw(b"n", size=b"0_1\0") + X,
    "size with a plus": raw(b"n", size=b"+1\0") + X,
    "size that is empty": raw(b"n", size=b"") + X,
    "wrong checksum": OK[:100] + b"1" + OK[101:],
    "folder with contents": raw(b"d/", b"5") + X,
    "link with contents": raw(b"d", b"2", link=b"a") + X,
    "empty name": raw(b"") + X,
    "dot as a file": entry(".", b"x"),
    "slash as a file": entry("/", b"x"),
    "file with a slash at its end": entry("a/", b"x"),
    "link with a slash at its end": symlink("a/", "b"),
    "double slash": entry("a//b", b"x"),
    "dot in the middle": entry("./a/./b", b"x"),
    "102 folders": entry("/".join("a" * 102), b"x"),
    "name of 1100 letters": pax(b"path", b"n" * 1100) + OK,
    "C0": entry("a\x1b[2J", b"x"),
    "C1": entry("a\u009b2J", b"x"),
    "C1 in Latin 1": raw(b"a\x9b2J") + X,
    "DEL": entry("a\x7f", b"x"),
    "direction": entry("a\u202egnp.exe", b"x"),
    "line end of Unicode": entry("a\u2028b", b"x"),
    "link to a name with C1": symlink("l", "a\u009b2J"),
    "link in place of .fap, and through it": symlink(".fap", "x") + entry(".fap/y", b"x"),
    "kind z": raw(b"z", b"z") + X,
    "kind X": raw(b"z", b"X") + X,
    "unknown format": raw(b"n", magic=b"estar\x0000") + X,
}
TAKEN = {
    "minus": entry("-rf", b"x"),
    "other case": entry("A", b"x") + entry("a", b"y"),
    "setuid": special("suid", mode=0o4755),
    "no mode": special("m0", mode=0),
    "not UTF-8": raw(b"\xff\xfe") + X,
    "link to .fap": symlink(".fap", "x") + entry("x/y", b"x"),
    "venv": entry("venv/bin/python", b"#!/bin/sh\n", 0o755),
    "link as .env": symlink(".env", "x"),
    "systemd unit": entry(".fap/systemd/evil.service", b"x"),
    "pax name": pax(b"path", "é".encode()) + OK,
    "pax size": pax(b"size", b"600") + entry("ok", b"x" * 600),
    "pax comment for all": pax(b"comment", b"a commit", b"g") + OK,
    "long name": long(b"L", b"n" * 200 + b"\0") + OK,
    "prefix": raw(b"name", prefix=b"folder") + X,
    "folder": special("./", T.DIRTYPE) + special("./d/", T.DIRTYPE) + entry("./d/f", b"x"),
}


def tree_of_tar(path: Path, folder: Path) -> Tree:
    folder.mkdir()
    subprocess.run(["tar", "xf", path], cwd=folder, check=True)
    return tree_of(folder)


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_what_could_harm_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "archive.tgz"
    path.write_bytes(gzip.compress(entry("first", b"x") + data + END))
    said = unpack(path, tmp_path / "there")
    assert isinstance(said, str)
    assert said.isprintable()
    assert not Path("/tmp/fapkit-absolute").exists()


@pytest.mark.parametrize("data", TAKEN.values(), ids=TAKEN.keys())
def test_what_is_harmless_is_what_tar_makes_of_it(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "archive.tgz"
    path.write_bytes(gzip.compress(data + END))
    tree = unpack(path, tmp_path / "there")
    assert tree == tree_of_tar(path, tmp_path / "tar")
    modes = {path.lstat().st_mode & 0o7777 for path in (tmp_path / "there").rglob("*") if path.is_file()}
    assert modes <= {0o644, 0o755}


ENDS = {
    "no end mark": gzip.compress(OK),
    "half an end mark": gzip.compress(OK + END[:512]),
    "rubbish": gzip.compress(OK + END + b"GARBAGE" * 100),
    "another entry": gzip.compress(OK + END + entry("z", b"x") + END),
    "more zeros than a record has": gzip.compress(OK + END + bytes(2 << 20)),
    "another archive": gzip.compress(OK + END) + gzip.compress(entry("z", b"x") + END),
    "rubbish after the gzip member": gzip.compress(OK + END) + b"rubbish",
    "zeros after the gzip member": gzip.compress(OK + END) + END,
}


@pytest.mark.parametrize("data", ENDS.values(), ids=ENDS.keys())
def test_what_does_not_end_with_its_end_mark_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "archive.tgz"
    path.write_bytes(data)
    assert isinstance(unpack(path, tmp_path / "there"), str)


def test_the_padding_of_other_tools_is_taken(tmp_path: Path) -> None:
    (tmp_path / "ok").write_bytes(b"x")
    for number, options in enumerate((["-b", "1"], ["-b", "20"], ["-b", "2000"])):
        path = tmp_path / f"{number}.tgz"
        subprocess.run(["tar", *options, "-czf", path, "ok"], cwd=tmp_path, check=True)
        assert unpack(path, tmp_path / f"there{number}") == {"ok": ("file", b"x")}


def zeros(count: int) -> bytes:
    """Raw deflate blocks with so many times 16 MiB of zeros."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(bytes(1 << 24)) + deflate.flush(zlib.Z_FULL_FLUSH)) * count


def test_four_gigabytes_of_zeros_are_refused_within_a_second(tmp_path: Path) -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
    path = tmp_path / "bomb.tgz"
    path.write_bytes(deflate.compress(OK + END) + deflate.flush(zlib.Z_FULL_FLUSH) + zeros(256))
    began = time.process_time()
    assert "data after its end mark" in str(unpack(path, tmp_path / "there"))
    assert time.process_time() - began < 1


def test_an_archive_may_not_fill_the_disk(tmp_path: Path) -> None:
    """On 40 MB, 2 % stays free. Nothing is left of what was refused."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(tmp_path)], check=True)
    try:
        place = Place(tmp_path / "host")
        done = place.unpack(gzip.compress(entry("a", bytes(20 << 20)) + entry("b", bytes(19 << 20)) + END, 1))
        assert done.returncode == 1, done
        assert "but may use only" in done.stdout
        assert "838860 stay free" in done.stdout
        assert place.tree() == {"releases", "releases/new"}
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_others_may_write_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The space is looked at again while an archive is written."""
    program = unpacker()
    disk = program.Disk(str(tmp_path))
    disk.room, disk.unchecked = 1 << 40, program.CHECKED_AGAIN
    monkeypatch.setattr(program.fetch, "room", lambda folder: (0, 1))
    with pytest.raises(OSError, match="may use only 0 of the bytes"):
        disk.write(1)


def test_a_declared_size_is_refused_before_anything_is_written(tmp_path: Path) -> None:

    members = [squeeze(OK), squeeze(END)]
    manifest = manifest_of({"ok": b"x"}, {}, app="shop", version="1", members=members)
    first, last = manifest.members
    listed = msgspec.structs.replace(
        manifest,
        files=(*manifest.files, File("huge", 0o644, 1 << 60)),
        members=(msgspec.structs.replace(first, entries=2), last),
    )
    path = tmp_path / "shop.tgz"
    path.write_bytes(squeeze(entry(MANIFEST_PATH, encode(listed))) + b"".join(members))
    assert "but may use only" in str(unpack(path, tmp_path / "there"))
    assert [found.name for found in (tmp_path / "there").rglob("*")] == [".fap", "manifest.json"]

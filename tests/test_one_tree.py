"""One sha256, one tree: tar, fapbuild verify and hosts read the same from the same bytes, or refuse them.

Artifacts are forged at random: entries twice, in another order, of other kinds and sizes; gzip members that
are glued, cut anywhere, or empty; ranges in the manifest that are aimed at other places, or hold others than
it says; bytes after the end. With the root of an artifact, a host reads only some of its members.
"""

import gzip
import hashlib
import itertools
import struct
import subprocess
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifact_store.artifact.archive import read_manifest as decode_of
from artifact_store.artifact.manifest import MANIFEST_PATH, OLD_FORMAT, File, Member, encode
from artifact_store.core.errors import VerificationError
from fapbuild.inspecting.verify import verify
from tests.parts.artifacts import lock_of
from tests.parts.host_reader import Tree, keep_packages, tree_of, unpack, unpack_members
from tests.parts.tgz import entry, manifest_of, old_format, squeeze, symlink, to_old_format

WHEELS = {
    "one-1-py3-none-any.whl": b"a wheel with an archive in it: " + gzip.compress(entry("evil", b"x"), 0),
    "two-1-py3-none-any.whl": b"another wheel" * 99,
}
LOCK = lock_of(WHEELS)
BYTECODE = {"two-1-py3-none-any.whl": b"bytecode of it" * 50}
KEPT = {
    hashlib.sha256(WHEELS[file]).hexdigest(): hashlib.sha256(data).hexdigest()
    for file, data in BYTECODE.items()
}
FILES = {
    ".fap/installer/__main__.py": b"",
    "app.py": b"print(1)\n" * 99,
    "requirements.lock": LOCK,
    "zoo/last.py": b"print(2)\n",
}
END = bytes(1024)


def stored(data: bytes) -> bytes:
    """A gzip member of one stored block, which holds the data as it is."""
    head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    return (
        head
        + struct.pack("<BHH", 1, len(data), len(data) ^ 0xFFFF)
        + data
        + struct.pack("<II", zlib.crc32(data), len(data))
    )


@dataclass(frozen=True)
class Forgery:
    """An artifact's entries after the manifest, how they are compressed, and what the manifest says."""

    entries: tuple[str, ...]
    """Keys of ENTRIES."""
    cuts: tuple[int, ...] = ()
    """Places in the tar where gzip members end, besides those after each entry."""
    glue: tuple[int, ...] = ()
    """Numbers of ranges that are one with the next."""
    aim: tuple[tuple[int, int], ...] = ()
    """(number, bytes) by which ends of ranges are moved."""
    flips: tuple[int, ...] = ()
    """Places in the file where a byte is another one, before ranges are hashed."""
    tail: str = "end mark"
    """A key of TAILS: after the entries."""
    extra: str = ""
    """A key of EXTRAS: after the last gzip member."""
    files: tuple[File, ...] | None = None
    """What the manifest lists; FILES if it is None."""
    plain: bool = False
    """Members are stored, not compressed."""
    miscount: tuple[tuple[int, int], ...] = ()
    """(number, entries) by which ranges have others than they hold."""
    old: bool = False
    """Its manifest has format fap/1."""

    def write(self, path: Path) -> None:
        """Write the artifact."""
        entries = [ENTRIES[name] for name in self.entries]
        tar = b"".join((*entries, TAILS[self.tail]))
        ends = {0, len(tar)} | {cut % (len(tar) + 1) for cut in self.cuts}
        at = 0
        for data in entries:
            at += len(data)
            ends.add(at)
        order = sorted(ends)
        begin = {sum(map(len, entries[:number])) for number in range(len(entries))}
        counts = [sum(one <= at < two for at in begin) for one, two in itertools.pairwise(order)]
        press = stored if self.plain else squeeze
        members = [press(tar[one:two]) for one, two in itertools.pairwise(order)]
        body = bytearray(b"".join(members))
        for flip in self.flips:
            body[flip % len(body)] ^= 1 + flip % 255
        edges = [sum(map(len, members[: number + 1])) for number in range(len(members))]
        edges = [edge for number, edge in enumerate(edges) if number not in self.glue or edge == len(body)]
        for number, by in self.aim:
            edges[number % len(edges)] += by
        edges = sorted({edge for edge in edges if 0 < edge < len(body)} | {len(body)})
        body += EXTRAS[self.extra]
        starts = itertools.accumulate(map(len, members), initial=0)
        held = dict(zip(starts, counts, strict=False))
        ranges = [
            Member(
                two - one,
                hashlib.sha256(body[one:two]).hexdigest(),
                sum(count for at, count in held.items() if one <= at < two),
            )
            for one, two in zip([0, *edges], edges, strict=False)
        ]
        for number, by in self.miscount:
            place = number % len(ranges)
            ranges[place] = msgspec.structs.replace(ranges[place], entries=ranges[place].entries + by)
        manifest = manifest_of(FILES, WHEELS, app="shop", version="1", members=[])
        wheels = tuple(
            msgspec.structs.replace(
                wheel, bytecode=KEPT.get(wheel.sha256, ""), bytecode_size=len(BYTECODE.get(wheel.file, b""))
            )
            for wheel in manifest.wheels
        )
        manifest = msgspec.structs.replace(
            manifest,
            wheels=wheels,
            installer=("f" * 64,),
            members=tuple(ranges),
            lock_digest=hashlib.sha256(LOCK).hexdigest(),
            **({"files": self.files} if self.files is not None else {}),
        )
        path.write_bytes(squeeze(entry(MANIFEST_PATH, encode(manifest))) + body)
        if self.old:
            to_old_format(path)


def header(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, link: str = "", **pax: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode, info.pax_headers = kind, size, link, 0o644, pax
    return info.tobuf(tarfile.PAX_FORMAT)


def before(kind: bytes, data: bytes) -> bytes:
    """A header that changes the entry after it."""
    return header("header", kind, len(data)) + data.ljust(512, b"\0")


HONEST = {
    **FILES,
    **{f"wheels/{name}": data for name, data in WHEELS.items()},
    **{f"wheels/{name}.bytecode": data for name, data in BYTECODE.items()},
}
ENTRIES = {
    **{name: entry(name, data) for name, data in HONEST.items()},
    "other contents": entry("app.py", b"EVIL"),
    "unlisted": entry("evil.py", b"EVIL"),
    "unlisted wheel": entry("wheels/evil.whl", b"EVIL"),
    "unlisted bytecode": entry("wheels/one-1-py3-none-any.whl.bytecode", b"EVIL"),
    "other bytecode": entry("wheels/two-1-py3-none-any.whl.bytecode", b"EVIL of another" * 50),
    "file for a folder": entry("zoo", b"EVIL"),
    "file below a file": entry("zoo/last.py/below", b"EVIL"),
    "other mode": entry("app.py", FILES["app.py"], 0o755),
    "dot": entry("./app.py", FILES["app.py"]),
    "link": symlink("app.py", "zoo/last.py"),
    "link for a folder": symlink("zoo", "../zoo"),
    "hard link": header("app.py", tarfile.LNKTYPE, link="zoo/last.py"),
    "contiguous": header("app.py", tarfile.CONTTYPE, 3) + b"odd" + bytes(509),
    "folder": header("zoo/", tarfile.DIRTYPE),
    "file with a slash": header("app.py/"),
    "pax name": header("app.py", size=3, path="zoo/last.py") + b"odd" + bytes(509),
    "pax size": before(tarfile.XHDTYPE, b"13 size=1024\n") + header("app.py", size=3) + bytes(1024),
    "global name": before(tarfile.XGLTYPE, b"16 path=evil.py\n"),
    "long name": before(tarfile.GNUTYPE_LONGNAME, b"evil.py\0"),
    "pax without a name": before(tarfile.XHDTYPE, b"13 comment=x\n"),
    "endless": header("app.py", size=1 << 40),
    "sparse": header("app.py", **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    "zeros": bytes(512),
    "end": END,
    "no header": b"\xff" * 512,
}
TAILS = {
    "end mark": END,
    "nothing": b"",
    "half": bytes(512),
    "padding": bytes(1536),
    "another archive": END + entry("evil", b"x") + END,
}
EXTRAS = {
    "": b"",
    "zero": b"\0",
    "empty member": squeeze(b""),
    "member": squeeze(entry("evil", b"x") + END),
}


NAMES = st.sampled_from(sorted(ENTRIES))
NUMBERS, PLACES = st.integers(0, 8), st.integers(0, 9000)
FAULTS: dict[str, st.SearchStrategy[Any]] = {
    "cuts": st.tuples(st.one_of(PLACES, PLACES.map(lambda at: at // 512 * 512))),
    "glue": st.tuples(NUMBERS),
    "aim": st.tuples(st.tuples(NUMBERS, st.one_of(st.integers(-30, 30), st.integers(-2000, 2000)))),
    "flips": st.tuples(PLACES),
    "tail": st.sampled_from(sorted(TAILS)),
    "extra": st.sampled_from(sorted(EXTRAS)),
    "miscount": st.tuples(st.tuples(NUMBERS, st.integers(-2, 2))),
}


@st.composite
def entries_with_faults(draw: st.DrawFn) -> tuple[str, ...]:
    """The names of an artifact's entries; some are changed."""
    entries = list(HONEST)
    for _ in range(draw(st.integers(0, 2))):
        number = draw(st.integers(0, len(entries) - 1))
        match draw(st.sampled_from(["insert", "replace", "remove", "move"])):
            case "insert":
                entries.insert(number, draw(NAMES))
            case "replace":
                entries[number] = draw(NAMES)
            case "remove":
                del entries[number]
            case _:
                entries.append(entries.pop(number))
    return tuple(entries)


@st.composite
def forgeries(draw: st.DrawFn) -> Forgery:
    """Artifacts with up to two faults beside those of their entries."""
    faults = draw(st.lists(st.sampled_from(sorted(FAULTS)), max_size=2, unique=True))
    drawn = {fault: draw(FAULTS[fault]) for fault in faults}
    return Forgery(draw(entries_with_faults()), plain=draw(st.booleans()), old=draw(st.booleans()), **drawn)


def tar_reads(path: Path, folder: Path) -> Tree | None:
    """What tar unpacks; None if it complains."""
    folder.mkdir()
    done = subprocess.run(["tar", "xzf", path], cwd=folder, capture_output=True)
    return None if done.returncode or done.stderr else tree_of(folder)


def without_wheels(tree: Tree | str, but: frozenset[str] = frozenset()) -> Tree | str:
    if isinstance(tree, str):
        return tree
    return {
        name: value
        for name, value in tree.items()
        if not name.startswith("wheels/") or name[7:].removesuffix(".bytecode") in but
    }


def check(path: Path, folder: Path) -> str:
    """Compare what tar, verify, a fresh host and one with the packages read; return why verify refuses it."""
    tar = tar_reads(path, folder / "tar")
    fresh = unpack(path, folder / "fresh")
    warm = unpack(path, folder / "warm", keep_packages(folder / "state", LOCK, KEPT))
    try:
        verify(path)
        refusal = ""
    except VerificationError as error:
        refusal = error.message
    assert isinstance(fresh, str) == bool(refusal), (fresh, refusal)
    if not refusal:
        assert fresh == tar
        assert without_wheels(warm) == without_wheels(fresh)
    elif not isinstance(warm, str) and tar is not None:
        assert without_wheels(warm) == without_wheels(tar)
    for number, wheels in enumerate(({}, {"two-1-py3-none-any.whl"}, {*WHEELS})):
        part = unpack_members(path, folder / f"part{number}", set(wheels))
        # Nobody states the root of what push refuses, so a host gets none of that.
        if not refusal and decode_of(path).format != OLD_FORMAT:
            assert part == without_wheels(fresh, frozenset(wheels))
    return refusal


@settings(max_examples=200, deadline=None)
@given(forgeries())
def test_the_same_bytes_are_the_same_tree_or_are_refused(forgery: Forgery) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        path = Path(name) / "shop-1.tgz"
        forgery.write(path)
        check(path, Path(name))


@settings(max_examples=100, deadline=None)
@given(entries_with_faults(), st.sampled_from(sorted(TAILS)))
def test_an_archive_of_another_tool_is_the_tree_that_tar_makes_or_is_refused(
    entries: tuple[str, ...], tail: str
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        path, folder = Path(name) / "shop-1.tgz", Path(name)
        path.write_bytes(gzip.compress(b"".join((*map(ENTRIES.get, entries), TAILS[tail])), 1))
        tar = tar_reads(path, folder / "tar")
        fresh = unpack(path, folder / "fresh")
        warm = unpack(path, folder / "warm", keep_packages(folder / "state", LOCK, KEPT))
        assert isinstance(fresh, str) or fresh == tar
        assert isinstance(warm, str) == isinstance(fresh, str)
        assert isinstance(warm, str) or without_wheels(warm) == without_wheels(fresh)


def test_a_warm_host_leaves_wheels_and_their_bytecode_out(tmp_path: Path) -> None:
    Forgery(tuple(HONEST)).write(tmp_path / "shop-1.tgz")
    assert check(tmp_path / "shop-1.tgz", tmp_path) == ""
    assert len(list((tmp_path / "fresh/wheels").iterdir())) == len(WHEELS) + len(BYTECODE)
    assert not (tmp_path / "warm/wheels").exists()


def test_an_artifact_that_another_tool_packed_again_is_none(tmp_path: Path) -> None:
    """A host takes it as what it is: an archive, and says that nothing was compared with its manifest."""
    path = tmp_path / "shop-1.tgz"
    Forgery(tuple(HONEST)).write(path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())))
    with pytest.raises(VerificationError, match="not alone in the first gzip member"):
        verify(path)
    assert unpack(path, tmp_path / "fresh") == tar_reads(path, tmp_path / "tar")


def test_a_manifest_that_is_too_large_for_hosts_is_refused(tmp_path: Path) -> None:
    """They would take the archive as one of another tool, and compare nothing."""
    path = tmp_path / "shop-1.tgz"
    Forgery((*HONEST, "unlisted")).write(path)
    with tarfile.open(path) as tar:
        manifest = tar.extractfile(MANIFEST_PATH)
        assert manifest
        text = manifest.read()
    first = squeeze(entry(MANIFEST_PATH, text))
    large = squeeze(entry(MANIFEST_PATH, text + b" " * (33 << 20)))
    path.write_bytes(large + path.read_bytes()[len(first) :])
    with pytest.raises(VerificationError, match="is too large"):
        verify(path)


def stored_from(tar: bytes, target: int) -> tuple[bytes, int]:
    """A gzip member of stored blocks, one of which begins at `target`; and where that is in the member."""
    cuts = [*range(0, target, 65535), *range(target, len(tar), 65535), len(tar)]
    member, place = b"\x1f\x8b\x08\0\0\0\0\0\0\xff", 0
    for start, end in itertools.pairwise(cuts):
        member += struct.pack("<BHH", end == len(tar), end - start, (end - start) ^ 0xFFFF)
        if start == target:
            place = len(member)
        member += tar[start:end]
    return member + struct.pack("<II", zlib.crc32(tar), len(tar)), place


def aimed_into_a_wheel(wheel_ends: int = 0, skipped: int = 1 << 21) -> tuple[bytes, bytes]:
    """An artifact whose ranges lead a reader that believes them to another app.py, inside a wheel; its lock.

    Its wheel ends at `wheel_ends` in the tar. Skipping `skipped` bytes leads that reader to the last range.
    """
    evil = entry("app.py", b'print("EVIL")\n')
    inside = squeeze(evil + header("wheels/zz.whl", size=skipped) + bytes(1 << 16))
    name = "carrier-1-py3-none-any.whl"
    hook = struct.pack("<I", wheel_ends) + inside
    wheel = bytes(range(256)) * 8000 + hook + bytes(1 << 20)
    lock = lock_of({name: wheel})
    files = {".fap/installer/__main__.py": b"", "requirements.lock": lock, "app.py": b"print(1)\n"}
    first, second, last = (entry(path, data) for path, data in files.items())
    before_last = first + second + entry(f"wheels/{name}", wheel)
    tar = before_last + last
    body, place = stored_from(tar, tar.index(hook))
    whole = body + squeeze(END)
    manifest = msgspec.structs.replace(
        manifest_of(files, {name: wheel}, app="shop", version="1", members=[]),
        lock_digest=hashlib.sha256(lock).hexdigest(),
        members=tuple(
            Member(two - one, hashlib.sha256(whole[one:two]).hexdigest(), entries)
            for (one, two), entries in zip(
                itertools.pairwise([0, place + 4, len(body), len(whole)]), (4, 0, 0), strict=True
            )
        ),
    )
    if not wheel_ends:
        return aimed_into_a_wheel(len(before_last), len(tar) - len(evil) - 512)
    return squeeze(entry(MANIFEST_PATH, old_format(manifest))) + whole, lock


def test_ranges_that_are_aimed_into_a_wheel_are_refused(tmp_path: Path) -> None:
    data, lock = aimed_into_a_wheel()
    path = tmp_path / "shop-1.tgz"
    path.write_bytes(data)
    tree = tar_reads(path, tmp_path / "tar")
    assert tree
    assert tree["app.py"] == ("file", b"print(1)\n")
    with pytest.raises(VerificationError, match="range 1 of its members is not exactly one gzip member"):
        verify(path)
    warm = keep_packages(tmp_path / "state", lock)
    assert "range 1 of its members" in str(unpack(path, tmp_path / "fresh"))
    assert "range 1 of its members" in str(unpack(path, tmp_path / "warm", warm))

"""Reads the archive of a release, and refuses what none may hold: one reader for builders, stores and hosts.

faprelease sends this text to hosts, so it is Python 3.8 with its standard library, and imports nothing that
loads slowly. tarfile accepts too much, and takes longer than everything else on a host.

Formats: RFC 1952 (a gzip file is any number of members), POSIX.1-2001 tar with pax headers and GNU's long
names, and `fap/1` and `fap/2` of docs/design.md. It refuses what readers of tar understand in different ways.
"""

from __future__ import annotations

import os
import zlib
from itertools import islice

TYPE_CHECKING = False  # the module typing loads slowly
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from hashlib import _Hash
    from typing import Any, Protocol

    class Bytes(Protocol):
        """The bytes of the archive."""

        def read(self, size: int, /) -> bytes:
            """The next bytes, at most `size`; none at the end."""

        def seek(self, place: int, /) -> int:
            """Go to a place in the file, to skip entries."""

        def fileno(self) -> int:
            """The descriptor of the file, to skip entries."""


FORMAT, OLD_FORMAT = "fap/2", "fap/1"
MANIFEST = ".fap/manifest.json"
LARGEST_MANIFEST = 32 << 20
IDENTITY_AT = 1024
"""The first bytes of a manifest, which name its app, version and commit."""
WHEELS = "wheels"
BYTECODE = ".bytecode"
"""What follows the name of a wheel in that of its bytecode."""
MOST_ENTRIES, MOST_FOLDERS = 500000, 50000
LONGEST_NAME, DEEPEST_NAME = 1024, 100
MOST_LETTERS = 32 << 20
"""Of all names together with the folders they are in: they are kept in memory."""
LONGEST_HEADER = 1 << 17
MOST_PADDING = 1 << 20
"""Other tools fill the last record of a tar with zeros (`tar --blocking-factor`)."""
UNKNOWN, KNOWN, HEADERS = 1 << 16, 1 << 20, 1 << 14
"""How many bytes are read at once where the end of a gzip member is not known (what is read beyond it is
copied), where it is known, and where hardly more than headers is needed."""
NOT_STORED = (0, 0)
HAS_COMMENT, LONGEST_COMMENT = 16, 4096
"""The flag of a gzip member with a comment, and how long that may be where wheels are skipped."""
BLOCK = 512
END = bytes(BLOCK)
FILE, FOLDER, LINK = "file", "folder", "link"
KINDS = {b"0": FILE, b"\0": FILE, b"5": FOLDER, b"2": LINK}
MODES = {0o644: FILE, 0o755: FILE, 0o120777: LINK}
"""The modes of files in a manifest."""
UNSAFE = frozenset(
    chr(code)
    for codes in (
        range(0x20),  # C0
        range(0x7F, 0xA0),  # DEL and C1
        range(0xDC80, 0xDCA0),  # C1 in a name that is not UTF-8
        (0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)),  # line ends, directions
    )
    for code in codes
)
"""Characters that no name may have: they change what a terminal does, or how it shows the name."""


class RefusedError(Exception):
    """The archive is hostile or damaged, or not an archive."""


class Entry:
    """An entry of an archive. Its `contents` are read before the next entry, by the caller or else for it."""

    def __init__(self, name: str, kind: str, mode: int, size: int, link: str) -> None:
        self.name, self.kind, self.mode, self.size, self.link = name, kind, mode, size, link
        self.is_wheel = kind == FILE and is_wheel(name)
        self.contents: Iterable[bytes] = ()


class Archive:
    """An archive of `size` bytes, read once from its beginning: a tar, or a gzip file of one.

    It is an artifact if a manifest is alone in its first gzip member. Then the ranges that the manifest calls
    `members` are the rest of the file, each of them is one gzip member with whole blocks of the tar, and the
    entries are those that the manifest lists; in `fap/2` in its order, each in the member that it says.
    Another tool may have packed it, or packed it again: then a manifest only names it.

    With `wheels`, only the members of these wheels are in the file, beside those of all other files.
    """

    def __init__(
        self, file: Bytes, size: int, new_sha256: Callable[[], _Hash], wheels: set[str] | None = None
    ) -> None:
        self.identity: tuple[str, str, str] | None = None
        """App, version and commit, after an entry that is a manifest."""
        self.manifest: Manifest | None = None
        """Of an artifact, after its first entry; None for an archive of another tool."""
        self._stream = _Stream(file, size, new_sha256)
        self._new_sha256, self._wheels = new_sha256, wheels

    def entries(self) -> Iterator[Entry]:
        """The entries in order, each of them checked. Raises RefusedError."""
        tree = Tree()
        entry = self._next()
        if entry and entry.name == MANIFEST and entry.kind == FILE and entry.size <= LARGEST_MANIFEST:
            tree.add(entry.name, entry.kind)
            text = self._read(entry.size)
            self._read(-entry.size % BLOCK)
            self.identity = identity(text)
            entry.contents = (text,)
            yield entry
            if self._stream.is_between_members():
                self.manifest = Manifest(text, self.identity, self._wheels)
                self._stream.expect(self.manifest.members)
            elif self._wheels is not None:
                raise RefusedError("its manifest is not alone in the first gzip member")
            entry = self._next()
        while entry:
            sha256 = ""
            if self.manifest:
                sha256 = self.manifest.take(entry, self._header_range, begins=self._begins_member)
            if self.manifest or _normalize(entry):
                tree.add(entry.name, entry.kind, entry.link)
                entry.contents = self._contents(entry, sha256)
                if entry.name == MANIFEST and entry.kind == FILE:
                    entry.contents = self._identifying(entry.contents)
                yield entry
                for _ in entry.contents:
                    pass
            self._read(-entry.size % BLOCK)
            entry = self._next()
        if self.manifest and self.manifest.missing:
            raise RefusedError(f"{min(self.manifest.missing)!r} is missing")
        if not tree.kinds:
            raise RefusedError("it is empty")

    def _identifying(self, contents: Iterable[bytes]) -> Iterator[bytes]:
        """The contents of a manifest that does not describe the archive."""
        head = b""
        for piece in contents:
            head += piece[: IDENTITY_AT - len(head)]
            yield piece
        self.identity = identity(head)

    def skip(self, entry: Entry) -> None:
        """Pass over the contents of the entry at hand. They are not read if they are in stored blocks: the
        lengths of those prove where they end."""
        self._stream.skip(entry.size)
        entry.contents = ()

    def _contents(self, entry: Entry, sha256: str) -> Iterator[bytes]:
        digest = self._new_sha256() if sha256 else None
        for piece in self._stream.pieces(entry.size):
            if digest:
                digest.update(piece)
            yield piece
        if digest and digest.hexdigest() != sha256:
            raise RefusedError(f"the sha256 of {entry.name!r} differs from the manifest")

    def _read(self, size: int) -> bytes:
        return b"".join(self._stream.pieces(size))

    def _next(self) -> Entry | None:
        """The next entry; None at the end mark."""
        extra: dict[bytes, bytes] = {}
        self._begins_member = bool(self.manifest) and self._stream.is_between_members()
        self._header_range = 0
        while True:
            head = self._read(BLOCK)
            self._header_range = self._header_range or self._stream.range
            if head == END:
                if self.manifest and not self.manifest.ends_at(self._header_range, self._begins_member):
                    raise RefusedError("the end mark of the tar is not at the place that the manifest says")
                most = 0 if self.manifest else MOST_PADDING
                if self._read(BLOCK) != END or not self._stream.ends_after_zeros(most):
                    raise RefusedError("there is data after its end mark")
                return None
            if number(head[148:156]) != sum(head) - sum(head[148:156]) + 8 * 32:
                raise RefusedError("it is not a tar file, or it is damaged: a header has a wrong checksum")
            kind, size = head[156:157], number(head[124:136])
            if kind not in (b"x", b"g", b"L", b"K"):
                return _entry(head, extra)
            if size > LONGEST_HEADER:
                raise RefusedError(f"a header has {size} bytes")
            data = self._read(size)
            self._read(-size % BLOCK)
            if kind in (b"x", b"g"):
                fields = pax(data)
            else:
                fields = {b"path" if kind == b"L" else b"linkpath": data.rstrip(b"\0")}
            if kind == b"g" and fields:
                raise RefusedError("a header changes the names, links or sizes of all entries after it")
            if extra.keys() & fields.keys() or (extra and kind == b"x"):
                raise RefusedError("an entry has two names, links or sizes")
            extra.update(fields)


class _Stream:
    """The bytes of the tar in a file. Of a gzip file, zlib checks the checksums of all members."""

    def __init__(self, file: Bytes, size: int, new_sha256: Callable[[], _Hash]) -> None:
        self._file, self._size, self._new_sha256 = file, size, new_sha256
        self._raw = file.read(UNKNOWN)
        """Bytes of the file that are not used yet."""
        self._used = 0
        """How many bytes of the file are."""
        self.is_gzip = self._raw[:2] == b"\x1f\x8b"
        self._ready, self._at = b"", 0
        self._inflater: Any = None
        """Of the gzip member that has begun and not ended; None between two."""
        self._inflated = 0
        self._members: Iterator[tuple[int, str]] | None = None
        self._left: int | None = None
        """How many bytes of the member's range are not used yet; None if no ranges are known."""
        self.range = 0
        """The number of the range at hand, from 1."""
        self._begins, self._length = 0, 0
        self._sha256, self._digest = "", new_sha256()
        self._stored: tuple[int, int] | None = None
        self._most = KNOWN
        """How many bytes are read and inflated at once."""

    def expect(self, members: list[tuple[int, int, str]]) -> None:
        """The rest of the file has to be these gzip members: (start, length, sha256)."""
        missing = self._used + sum(length for _, length, _ in members) - self._size
        if missing > 0:
            raise RefusedError(f"it is cut short: {missing} bytes are missing")
        if missing < 0:
            raise RefusedError(f"it has {-missing} extra bytes after the last gzip member")
        self._members, self._left = ((length, sha256) for _, length, sha256 in members), 0

    def pieces(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes."""
        while size:
            if self._at == len(self._ready):
                self._ready, self._at = self._more(), 0
            if not self._ready:
                raise RefusedError("it is truncated")
            piece = self._ready[self._at : self._at + size]
            self._at += len(piece)
            size -= len(piece)
            yield piece

    def skip(self, size: int) -> None:
        """Pass over the next `size` bytes."""
        self._most = HEADERS
        while size:
            passed = 0 if self._at < len(self._ready) else self._jump(size)
            self._most = KNOWN if self._stored == NOT_STORED else HEADERS
            size -= passed or len(next(self.pieces(size)))
        self._most = HEADERS

    def ends_after_zeros(self, most: int) -> bool:
        """Whether nothing follows but zeros, at most so many."""
        data = self._ready[self._at :]
        while len(data) <= most and not data.strip(b"\0"):
            more = self._more()
            if not more:
                return True
            data += more
        return False

    def is_between_members(self) -> bool:
        """Whether the gzip member at hand holds no more bytes."""
        while self._inflater and self._at == len(self._ready):
            self._ready, self._at = self._inflate(), 0
        return self.is_gzip and self._at == len(self._ready)

    def _more(self) -> bytes:
        """Some more bytes; none at the end."""
        if not self.is_gzip:
            return self._take()
        data = b""
        while not data and (self._inflater or self._begin()):
            data = self._inflate()
        return data

    def _begin(self) -> bool:
        """Begin the next gzip member. False if there is none."""
        if self._members:
            self._length, self._sha256 = next(self._members, (0, ""))
            self._left = self._length
            self.range += 1
            self._begins, self._stored = self._used, None
            self._digest = self._new_sha256()
        else:
            self._raw = self._raw or self._file.read(UNKNOWN)
        if not (self._left if self._members else self._raw):
            return False
        self._inflater, self._inflated = zlib.decompressobj(31), 0
        return True

    def _inflate(self) -> bytes:
        """Inflate some bytes of the member; maybe none."""
        raw = self._inflater.unconsumed_tail or self._take()
        if not raw:
            raise RefusedError(
                f"{self._where()} is not exactly one gzip member" if self._members else "it is truncated"
            )
        try:
            data: bytes = self._inflater.decompress(raw, self._most)
        except zlib.error as error:
            raise RefusedError(f"it is damaged: {error}") from None
        self._inflated += len(data)
        if self._inflater.eof:
            self._end(self._inflater.unused_data)
            self._inflater = None
        return data

    def _end(self, unused: bytes) -> None:
        if self._members is None:
            self._raw = unused + self._raw
            self._used -= len(unused)
        elif unused or self._left:
            raise RefusedError(f"{self._where()} is not exactly one gzip member")
        elif not self._inflated or self._inflated % BLOCK:
            raise RefusedError(f"{self._where()} does not hold whole blocks of the tar")
        elif self._digest.hexdigest() != self._sha256:
            raise RefusedError(f"the sha256 of {self._where()} differs from the manifest")

    def _where(self) -> str:
        return f"range {self.range} of its members"

    def _jump(self, size: int) -> int:
        """Pass over at most `size` bytes of the gzip member at hand, and return over how many.

        None unless all blocks of the member are stored. What is left of the member is read.
        """
        if self._members is None or not (self._inflater or self._begin()):
            return 0
        if self._stored is None:
            self._stored = stored(self._file.fileno(), self._begins, self._begins + self._length)
        total, last = self._stored
        passed = min(size, total - self._inflated)
        rest = total - self._inflated - passed
        if passed <= 0 or rest > last or total % BLOCK:
            return 0
        self._used = self._file.seek(self._begins + self._length)
        self._ready, self._at = os.pread(self._file.fileno(), rest, self._used - 8 - rest), 0
        self._raw, self._left, self._inflater = b"", 0, None
        return passed

    def _take(self) -> bytes:
        """Use some more bytes of the file, up to the end of the range at hand."""
        most = UNKNOWN if self._left is None else min(self._left, self._most)
        data = self._raw[:most] or self._file.read(most)
        self._raw = self._raw[len(data) :]
        self._used += len(data)
        if self._left is not None:
            self._left -= len(data)
            self._digest.update(data)
        return data


class Tree:
    """Entries by name, as far as the next one could conflict with them."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self._folders: set[str] = set()
        self._letters = 0

    def add(self, name: str, kind: str, link: str = "") -> None:
        """Add an entry. Raises RefusedError if no release may hold it, or not beside the others."""
        check_name(name)
        if kind == LINK:
            check_link(name, link)
        parts, kinds = name.split("/"), self.kinds
        if name in kinds and not kind == kinds[name] == FOLDER:
            raise RefusedError(f"{name!r} is in it twice")
        if any(kinds.get("/".join(parts[:n]), FOLDER) != FOLDER for n in range(1, len(parts))):
            raise RefusedError(f"{name!r} is inside a link or a file")
        if kind != FOLDER and name in self._folders:
            raise RefusedError(f"{name!r} is also a folder")
        self._remember(name, kind)
        if len(kinds) > MOST_ENTRIES:
            raise RefusedError(f"it holds more than {MOST_ENTRIES} entries")
        if len(self._folders) > MOST_FOLDERS:
            raise RefusedError(f"it holds more than {MOST_FOLDERS} folders")
        if self._letters > MOST_LETTERS:
            raise RefusedError(f"its names have more than {MOST_LETTERS} letters")

    @property
    def size(self) -> int:
        """How many files, links and folders it needs."""
        return max(len(self.kinds), len(self._folders))

    def _remember(self, name: str, kind: str) -> None:
        self.kinds[name] = kind
        self._letters += len(name)
        folder = name.rpartition("/")[0]
        while folder and folder not in self._folders:
            self._folders.add(folder)
            self._letters += len(folder)
            folder = folder.rpartition("/")[0]


class Manifest:
    """What a manifest says of the archive that it is in. Raises RefusedError."""

    def __init__(self, text: bytes, identity: tuple[str, str, str], wheels: set[str] | None = None) -> None:
        self.members: list[tuple[int, int, str]] = []
        """(start, length, sha256) of each gzip member after the first; it starts so many bytes behind that.
        With `wheels`, only of those that hold these wheels or no wheel."""
        self.missing: dict[str, tuple[str, int, int, str]] = {}
        """Kind, mode, size and sha256 of each entry that did not come yet. Only wheels have a sha256; their
        mode does not matter."""
        self.wheels_size = self.files_size = 0
        """Of all wheels, and of all other files, in bytes."""
        self.is_ordered = False
        """Whether the entries are in the order of the manifest, and each wheel and the end mark begin a
        member: they are in `fap/2`."""
        self._places: dict[str, int] = {}
        """The number of the range in which each entry begins, in their order, in `fap/2`."""
        self.installed: dict[str, Any] = {}
        """Its wheels and the wheels of its installer, as it lists them."""
        try:
            value = decoded(text)
            if (value["app"], value["version"], value["commit"]) != identity:
                raise ValueError("app, version or commit is in it twice")
            self._read_entries(value)
            self.installed = {key: value.get(key) for key in ("wheels", "installer")}
            self.is_ordered = value["format"] == FORMAT
            if self.is_ordered:
                self._read_members(value["members"], wheels)
            elif wheels is None:
                self._read_old_members(value["members"])
            else:
                raise ValueError(f"only one of format {FORMAT} can be read in part")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RefusedError(f"its {MANIFEST} can't be read: {error}") from None
        self._order = iter(self._places.items())

    def take(self, entry: Entry, place: int, *, begins: bool) -> str:
        """Compare an entry with the manifest; return the sha256 of a wheel, and nothing for others. It is in
        the range with number `place`, which maybe `begins` with it."""
        expected = self.missing.pop(entry.name, None)
        if expected is None:
            raise RefusedError(f"{entry.name!r} is not in the manifest, or is in the tar twice")
        is_there = not self.is_ordered or next(self._order, None) == (entry.name, place)
        if not is_there or (self.is_ordered and entry.is_wheel and not begins):
            raise RefusedError(f"{entry.name!r} is not at the place that the manifest says")
        kind, mode, size, sha256 = expected
        mode_differs = kind == FILE and not sha256 and entry.mode != mode
        if kind != entry.kind or size != entry.size or mode_differs:
            raise RefusedError(f"{entry.name!r} differs from the manifest")
        return sha256

    def ends_at(self, place: int, begins: bool) -> bool:
        """Whether the end mark of the tar may be in the range with number `place`, which maybe `begins` with
        it."""
        return not self.is_ordered or (begins and place == len(self.members))

    def _read_entries(self, value: Any) -> None:
        for path, mode, size in value["files"]:
            is_mode = type(mode) is int and mode in MODES
            if not is_mode or not _is_size(size) or path.split("/")[0] == WHEELS:
                raise ValueError(f"the file {path!r}, {mode!r}, {size!r}")
            self._list(path, (MODES[mode], mode, size, ""))
            self.files_size += size
        for wheel in value["wheels"]:
            file, size, sha256 = wheel["file"], wheel["size"], wheel["sha256"]
            is_name = "/" not in file and not file.endswith(BYTECODE)
            if not is_name or not _is_size(size) or type(sha256) is not str or len(sha256) != 64:
                raise ValueError(f"the wheel {file!r}, {size!r}, {sha256!r}")
            self._list(f"{WHEELS}/{file}", (FILE, 0, size, sha256))
            self.wheels_size += size
            bytecode, size = wheel.get("bytecode", ""), wheel.get("bytecode_size", 0)
            if (
                not _is_size(size)
                or type(bytecode) is not str
                or len(bytecode) != (64 if size else 0)
                or bytecode.strip("0123456789abcdef")
            ):
                raise ValueError(f"the bytecode of {file!r}, {size!r}, {bytecode!r}")
            if bytecode:
                self._list(f"{WHEELS}/{file}{BYTECODE}", (FILE, 0, size, bytecode))
                self.wheels_size += size

    def _read_members(self, listed: Any, wheels: set[str] | None) -> None:
        names, last, is_here, start, entries = iter(list(self.missing)), "", True, 0, -1
        for length, sha256, entries in listed:
            if not _is_size(length) or not length or type(sha256) is not str or not _is_size(entries):
                raise ValueError(f"the gzip member {length!r}, {sha256!r}, {entries!r}")
            begun = list(islice(names, entries))
            last = begun[-1] if begun else last
            if len(begun) != entries or (is_wheel(last) and entries > 1):
                raise ValueError(f"the gzip member with {last!r} holds {entries} entries")
            is_here = wheels is None or not is_wheel(last) or _wheel_of(last) in wheels
            if is_here:
                self.members.append((start, length, sha256))
            start += length
            for name in begun:
                if is_here:
                    self._places[name] = len(self.members)
                else:
                    self.wheels_size -= self.missing.pop(name)[2]
        if next(names, None) or entries:
            raise ValueError("its last gzip member is not the end mark of the tar")
        if not is_here:  # it follows a wheel that is not here
            self.members.append((start - length, length, sha256))

    def _read_old_members(self, listed: Any) -> None:
        end = 0
        for offset, length, sha256 in listed:
            is_next = _is_size(offset) and offset == end
            if not is_next or not _is_size(length) or not length or type(sha256) is not str:
                raise ValueError("the gzip members do not follow each other")
            self.members.append((offset, length, sha256))
            end += length

    def _list(self, path: str, facts: tuple[str, int, int, str]) -> None:
        if path in self.missing:
            raise ValueError(f"{path!r} is in it twice")
        path.encode()  # JSON can have text that is no Unicode
        self.missing[path] = facts


def is_wheel(name: str) -> bool:
    """Whether this is the name of a wheel of the app, or of its bytecode."""
    return name.startswith(WHEELS + "/")


def _wheel_of(name: str) -> str:
    """The file name of the wheel that this is, or whose bytecode this is."""
    file = name[len(WHEELS) + 1 :]
    return file[: -len(BYTECODE)] if file.endswith(BYTECODE) else file


def check_name(name: str) -> None:
    """Raise RefusedError if no file of a release may have this name."""
    if len(name) > LONGEST_NAME or name.count("/") > DEEPEST_NAME:
        raise RefusedError(f"the name {name[:60] + '...'!r} is too long")
    if "\\" in name or not UNSAFE.isdisjoint(name):
        raise RefusedError(f"the name {name!r} has a character that no name may have")
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise RefusedError(f"{name!r} points outside the folder, or is not a name")


def check_link(name: str, target: str) -> None:
    """Raise RefusedError if a link at `name` to `target` could leave the folder.

    `..` is allowed only at the start: after another link it would not lead to where it seems to.
    """
    if len(target) > LONGEST_NAME or not UNSAFE.isdisjoint(target):
        raise RefusedError(
            f"the target of the link {name!r} is too long, or has a character that none may have"
        )
    depth, parts = name.count("/"), target.split("/")
    while parts and parts[0] in ("..", "."):
        depth -= parts.pop(0) == ".."
    if not target or target.startswith("/") or ".." in parts or depth < 0:
        raise RefusedError(f"the link {name!r} points outside the folder, or has '..' after a name")


def stored(file: int, start: int, end: int) -> tuple[int, int]:
    """The size of what a gzip member holds, and of its last block. NOT_STORED unless the range of the file is
    one gzip member, all its blocks are stored, and the last one ends where it does (RFC 1951, 3.2.4)."""
    head = os.pread(file, 10 + LONGEST_COMMENT, start)
    comment = head.find(b"\0", 10) - 9 if head[3:4] == bytes([HAS_COMMENT]) else 0
    if head[:3] != b"\x1f\x8b\x08" or head[3:4] not in (b"\0", bytes([HAS_COMMENT])) or comment < 0:
        return NOT_STORED
    at, total, size, final = start + 10 + comment, 0, 1, 0
    while size and not final:
        if at + 5 > end - 8:
            return NOT_STORED
        block = os.pread(file, 5, at)
        final, size = block[0], int.from_bytes(block[1:3], "little")
        if final > 1 or size ^ int.from_bytes(block[3:5], "little") != 0xFFFF:
            return NOT_STORED
        at, total = at + 5 + size, total + size
    is_whole = final and at == end - 8
    is_right = os.pread(file, 4, end - 4) == (total & 0xFFFFFFFF).to_bytes(4, "little")
    return (total, size) if is_whole and is_right else NOT_STORED


def number(field: bytes) -> int:
    """A number in a header. Raises RefusedError."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.lstrip(b" ").rstrip(b" \0")
    if not digits or digits.strip(b"01234567"):
        raise RefusedError(f"it is not a tar file, or it is damaged: a header has the number {field!r}")
    return int(digits, 8)


def pax(data: bytes) -> dict[bytes, bytes]:
    """The name, link and size in an extended header of pax: `<length> <key>=<value>\\n`, again and again.

    Other keys change no file, except those of sparse files. Raises RefusedError.
    """
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        length, space, _ = data[start : start + 9].partition(b" ")
        end = start + int(length) if length.isdigit() and space else 0
        key, equals, value = data[start + len(length) + 1 : end].partition(b"=")
        if not start < end <= len(data) or not equals or value[-1:] != b"\n":
            raise RefusedError("a pax header is damaged")
        if key in (b"path", b"linkpath", b"size"):
            if key in records or b"\0" in value:
                raise RefusedError("a pax header has two names, links or sizes in one")
            records[key] = value[:-1]
        elif key.startswith(b"GNU.sparse"):
            records[b"GNU.sparse"] = b""
        start = end
    return records


def identity(manifest: bytes) -> tuple[str, str, str]:
    """(app, version, commit) of a manifest: in its only encoding they come first, and none of the values can
    contain a quote. Raises RefusedError."""
    words = manifest[:IDENTITY_AT].decode("utf-8", "replace").split('"')
    if words[1:16:4] != ["format", "app", "version", "commit"] or words[3] not in (FORMAT, OLD_FORMAT):
        raise RefusedError(f"its {MANIFEST} is in neither format {FORMAT} nor {OLD_FORMAT}")
    values = words[7], words[11], words[15]
    if not all(value.isascii() and value.isprintable() and "\\" not in value for value in values):
        raise RefusedError(f"its {MANIFEST} has the values {values!r}")
    return values


class _Json:
    """How JSON is read; the module json loads slowly."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float

    @staticmethod
    def parse_int(digits: str) -> int:
        if len(digits) > 19:
            raise ValueError("a number is too large")
        return int(digits)

    @staticmethod
    def parse_constant(name: str) -> None:
        raise ValueError(f"it has {name}")


def decoded(text: bytes) -> Any:
    """Decode JSON. Raises ValueError and RecursionError."""
    from _json import make_scanner

    whole = text.decode("utf-8").strip(" \t\n\r")
    try:
        value, end = make_scanner(_Json)(whole, 0)  # type: ignore[arg-type]
    except (StopIteration, SystemError):  # SystemError: Python 3.10, if the module json is not loaded
        raise ValueError("it is not JSON") from None
    if end != len(whole):
        raise ValueError("it has text after its end")
    return value


def _is_size(value: object) -> bool:
    return type(value) is int and value >= 0


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def name_of(head: bytes) -> str:
    """The name in a header without a prefix."""
    return _text(head[:100])


def _entry(head: bytes, extra: dict[bytes, bytes]) -> Entry:
    """The entry of a header, and of what was before it for the same entry. Raises RefusedError."""
    magic, kind, size = head[257:263], head[156:157], number(head[124:136])
    name, link = _text(head[:100]), _text(head[157:257])
    if magic == b"ustar\0" and head[345]:
        name = _text(head[345:500]) + "/" + name
    elif magic not in (b"ustar\0", b"ustar ", bytes(6)):
        raise RefusedError("it has a header of an unknown format")
    elif head[345]:  # some take it for the beginning of the name, whatever the format
        raise RefusedError(f"the header of {name!r} has a prefix that its format does not know")
    name = _text(extra.get(b"path", b"")) or name
    link = _text(extra.get(b"linkpath", b"")) or link
    if b"size" in extra:
        if not extra[b"size"].isdigit():
            raise RefusedError("a pax header has a size that is not a number")
        size = int(extra[b"size"][:20])
    if kind not in KINDS or b"GNU.sparse" in extra:
        raise RefusedError(f"{name!r} is neither a file, a folder nor a symbolic link")
    if KINDS[kind] != FILE and size:
        raise RefusedError(f"{name!r} is not a file, but has contents")
    if KINDS[kind] != FOLDER and name.endswith("/"):
        raise RefusedError(f"{name!r} is not a folder, but is named like one")
    return Entry(name, KINDS[kind], number(head[100:108]), size, link)


def _normalize(entry: Entry) -> bool:
    """Normalize a name as other tools write it. False if it is that of the whole folder."""
    name = entry.name
    while name.startswith("./"):
        name = name[2:]
    if entry.kind == FOLDER and name.endswith("/"):
        name = name[:-1]
    if entry.kind == FOLDER and entry.name in (".", "./"):
        return False
    entry.name = name
    entry.is_wheel = entry.kind == FILE and is_wheel(name)
    return True

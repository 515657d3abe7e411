"""Unpack an artifact into a new release folder, each entry after it was looked at.

Runs on the host, for fetch.py. Standard library only, Python 3.8 or newer.

It reads tar (POSIX.1-2001 with pax headers, and GNU's long names) by itself and takes only what a release
can hold: tarfile would let too much pass, and costs every host of a fleet more time than all else here.
"""

import os
import resource
import zlib

import fetch

MANIFEST = ".fap/manifest.json"
MANIFEST_HEAD = 1024
MOST_ENTRIES, MOST_FOLDERS = 500000, 50000
LONGEST_NAME, DEEPEST_NAME = 1024, 100
MOST_LETTERS = 32 << 20
"""Of all names, and of all folders they lie in: these are what is kept in memory."""
LONGEST_HEADER = 1 << 17
CHUNK, HEADERS = 1 << 20, 1 << 14
"""So much is read and inflated at once, and where hardly more than headers is wanted."""
BLOCK = 512
END = bytes(BLOCK)
CPU_SECONDS = 1800
FILE, FOLDER, LINK = "file", "folder", "link"
KINDS = {b"0": FILE, b"\0": FILE, b"5": FOLDER, b"2": LINK}


class RefusedError(Exception):
    """The archive is hostile or damaged."""


class Source:
    """The archive's bytes: of a plain file, or of all members of a gzip file, whose sums zlib checks.

    `ends` is where its members end in the file, as far as that is known.
    """

    def __init__(self, path):
        self.file = open(path, "rb")  # noqa: SIM115
        self.gzip = self.file.read(2) == b"\x1f\x8b"
        self.file.seek(0)
        self.raw = self.ready = b""
        self.at, self.member = 0, None
        self.ends, self.number, self.given = (), 0, 0

    def more(self):
        if not self.gzip:
            return self.file.read(CHUNK)
        data, chunk = b"", HEADERS if self.ends else CHUNK
        while not data:
            self.raw = self.raw or self.file.read(chunk)
            if not self.raw:
                if self.member:
                    raise RefusedError("it was cut")
                return b""
            self.member = self.member or zlib.decompressobj(31)
            data = self.member.decompress(self.raw, chunk)
            self.given += len(data)
            if self.member.eof:
                self.raw, self.member = self.member.unused_data, None
                self.number, self.given = self.number + 1, 0
            else:
                self.raw = self.member.unconsumed_tail
        return data

    def pieces(self, size):
        while size:
            if self.at == len(self.ready):
                self.ready, self.at = self.more(), 0
            if not self.ready:
                raise RefusedError("it was cut")
            piece = self.ready[self.at : self.at + size]
            self.at += len(piece)
            size -= len(piece)
            yield piece

    def read(self, size):
        return b"".join(self.pieces(size))

    def skip(self, size):
        """Go on `size` bytes further on. What is left of a member is not inflated if none of it is wanted:
        its last four bytes say how much that is (RFC 1952, ISIZE)."""
        while size:
            near = min(size, len(self.ready) - self.at)
            self.at += near
            size -= near
            left = self._left() if size and self.number < len(self.ends) else size + BLOCK
            if left >= size + BLOCK:
                for _ in self.pieces(size):
                    pass
                return
            # Fewer bytes than a block are what fills the last one of a file.
            self.ready, self.at = bytes(max(left - size, 0)), 0
            size -= min(left, size)
            self.file.seek(self.ends[self.number])
            self.raw, self.member = b"", None
            self.number, self.given = self.number + 1, 0

    def _left(self):
        end = self.ends[self.number]
        return max(int.from_bytes(os.pread(self.file.fileno(), 4, end - 4), "little") - self.given, 0)

    def only_zeros_left(self):
        zeros = not self.ready[self.at :].strip(b"\0")
        self.ready, self.at = b"", 0
        while zeros:
            data = self.more()
            if not data:
                return True
            zeros = not data.strip(b"\0")
        return False


def number(field):
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    return int(field.strip(b" \0") or b"0", 8)


def text(field):
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def pax(data):
    """`<length> <key>=<value>\\n` again and again (pax, "extended header")."""
    found, start = {}, 0
    while start < len(data):
        end = start + int(data[start : start + 9].split(b" ", 1)[0])
        if not start < end <= len(data):
            raise ValueError("length of a pax record")
        key, value = data[start:end].split(b" ", 1)[1][:-1].split(b"=", 1)
        # Others may come without end.
        if key in (b"path", b"linkpath", b"size"):
            found[key] = value
        elif key.startswith(b"GNU.sparse"):
            found[b"GNU.sparse"] = b""
        start = end
    return found


def entries(source):
    """(name, kind, mode, size, where a link goes); read the data before the next entry is asked for."""
    extra = {}
    while True:
        head = source.read(BLOCK)
        if head == END:
            if source.read(BLOCK) != END or not source.only_zeros_left():
                raise RefusedError("something stands behind its end mark")
            return
        if number(head[148:156]) != sum(head) - sum(head[148:156]) + 8 * 32:
            raise RefusedError("it is no tar file, or damaged: a header has a wrong checksum")
        kind, size = head[156:157], number(head[124:136])
        if size < 0:
            raise RefusedError("a header with a size below zero")
        padding = -size % BLOCK
        if kind in (b"x", b"g", b"L", b"K"):
            if size > LONGEST_HEADER:
                raise RefusedError(f"a header of {size} bytes")
            data = source.read(size)
            source.read(padding)
            if kind == b"x":
                extra.update(pax(data))
            elif kind != b"g":
                extra[b"path" if kind == b"L" else b"linkpath"] = data.rstrip(b"\0")
            continue
        name, link = text(head[0:100]), text(head[157:257])
        if head[257:263] == b"ustar\0" and head[345]:
            name = text(head[345:500]) + "/" + name
        name = text(extra.get(b"path", b"")) or name
        link = text(extra.get(b"linkpath", b"")) or link
        if b"size" in extra:
            size = int(extra[b"size"][:20])
            padding = -size % BLOCK
            if size < 0:
                raise RefusedError("a header with a size below zero")
        if max(len(name), len(link)) > LONGEST_NAME or name.count("/") > DEEPEST_NAME:
            raise RefusedError(f"the name {name[:60] + '...'!r} is too long")
        if kind not in KINDS or b"GNU.sparse" in extra:
            raise RefusedError(f"{name!r} is neither a file, a folder nor a symbolic link")
        if kind != b"0" and kind != b"\0" and size:
            raise RefusedError(f"{name!r} is no file, and has contents")
        extra = {}
        while name.startswith("./"):
            name = name[2:]
        name = name.rstrip("/")
        if name not in ("", "."):
            yield name, KINDS[kind], number(head[100:108]), size, link
        source.read(padding)


def escapes(name, target):
    """Could a link at `name` to `target` leave the folder?

    `..` may only come first: behind another link it would not lead to where it seems to.
    """
    depth, parts = name.count("/"), target.split("/")
    while parts and parts[0] in ("..", "."):
        depth -= parts.pop(0) == ".."
    return target.startswith("/") or ".." in parts or depth < 0


class Looked:
    """What came so far, as far as the next entry could be at odds with it; and what fits here."""

    def __init__(self, disk):
        self.seen, self.folders, self.total, self.letters = {}, set(), 0, 0
        self.free = disk.f_bavail * disk.f_frsize
        # Some file systems have no such number.
        self.inodes = disk.f_favail if disk.f_files else MOST_ENTRIES

    def at(self, name, kind, size, link):
        """Look at an entry before it is written. Raises RefusedError, and OSError for what does not fit."""
        self._may_stand(name, kind, link)
        self._keep(name, kind)
        self.total += size
        if self.total > self.free:
            raise OSError(28, f"it unpacks to more than the {self.free} bytes free here")
        if len(self.seen) > MOST_ENTRIES:
            raise RefusedError(f"it holds more than {MOST_ENTRIES} entries")
        if len(self.folders) > MOST_FOLDERS:
            raise RefusedError(f"it holds more than {MOST_FOLDERS} folders")
        if max(len(self.seen), len(self.folders)) > self.inodes:
            raise OSError(28, f"it unpacks to more than the {self.inodes} inodes free here")
        if self.letters > MOST_LETTERS:
            raise RefusedError(f"its names have more than {MOST_LETTERS} letters")

    def _may_stand(self, name, kind, link):
        parts, seen = name.split("/"), self.seen
        if name.startswith("/") or "\\" in name or any(ord(c) < 32 for c in name + link):
            raise RefusedError(f"the name {name!r} could leave the release folder")
        if any(part in ("", ".", "..") for part in parts):
            raise RefusedError(f"the name {name!r} could leave the release folder")
        if name in seen and not kind == seen[name] == FOLDER:
            raise RefusedError(f"{name!r} is in it twice")
        if any(seen.get("/".join(parts[:n]), FOLDER) != FOLDER for n in range(1, len(parts))):
            raise RefusedError(f"{name!r} lies behind a link or a file")
        if kind != FOLDER and name in self.folders:
            raise RefusedError(f"{name!r} is a folder too")
        if kind == LINK and (not link or escapes(name, link)):
            raise RefusedError(f"the link {name!r} leaves the release folder")

    def _keep(self, name, kind):
        self.seen[name] = kind
        self.letters += len(name)
        folder = name.rpartition("/")[0]
        while folder and folder not in self.folders:
            self.folders.add(folder)
            self.letters += len(folder)
            folder = folder.rpartition("/")[0]


def identity(manifest):
    """What a manifest of format fap/1 begins with: its one encoding has these fields first, and none of
    their values can hold a quote."""
    words = manifest.split('"')
    if words[1:16:4] != ["format", "app", "version", "commit"] or words[3] != "fap/1":
        raise RefusedError(f"its {MANIFEST} is none of format fap/1")
    found = words[7], words[11], words[15]
    if not all(word.isascii() and word.isprintable() and "\\" not in word for word in found):
        raise RefusedError(f"its {MANIFEST} says {found!r}")
    return found


class Sets:
    """What an earlier release of the app left installed, and the cache keeps, so that no wheel is needed:
    fapbuild/installer/shared.py and wheelcache.py. There is none if `state`, the app's state folder, or
    `cache` is empty, nor if an installer failed that had no wheels (contain.py). `ends` tells `Source.ends`.
    """

    def __init__(self, state, cache, ends):
        self.known, self.ends = bool(state and cache), ends
        self.envs, self.needed, self.cache = state + "/envs", state + "/wheels.needed", cache + "/wheels"

    def have_all(self, root):
        """Whether all that the lock of the release in `root` names is there."""
        if not self.known or os.path.exists(self.needed) or not os.access(self.cache, os.W_OK):
            return False
        if not os.path.isdir(root + "/.fap/installer"):  # one of the project's own may want them
            return False
        try:
            with open(root + "/requirements.lock", "rb") as file:
                lock = file.read()
            made, kept = os.listdir(self.envs), {name[:64] for name in os.listdir(self.cache)}
        except OSError:
            return False
        digest = fetch.new_sha256(len(lock))
        digest.update(lock)
        wanted = {line.rpartition(":")[2] for line in lock.decode("latin-1").split("\n") if line}
        return wanted <= kept and any(name.startswith(digest.hexdigest()[:32] + "-") for name in made)


def write(path, root, sets):
    """Unpack into the empty folder, each entry after it was looked at, and no wheel if there are `sets` of
    packages that were made of them; the names, and what they are."""
    source, looked, made, needed = Source(path), Looked(os.statvfs(root)), {""}, None
    for name, kind, mode, size, link in entries(source):
        is_wheel = kind == FILE and name.startswith("wheels/")
        if is_wheel and needed is None:
            needed = not sets.have_all(root)
            source.ends = () if needed else sets.ends()
        stays = is_wheel and not needed
        looked.at(name, kind, 0 if stays else size, link)
        if stays:
            source.skip(size)
            continue
        where = root + "/" + name
        folder = name if kind == FOLDER else name.rpartition("/")[0]
        if folder not in made:
            os.makedirs(root + "/" + folder, exist_ok=True)
            made.add(folder)
        if kind == LINK:
            os.symlink(link, where)
        elif kind == FILE:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with open(os.open(where, flags, 0o755 if mode & 0o100 else 0o644), "wb") as file:
                for piece in source.pieces(size):
                    file.write(piece)
    if needed is False and looked.seen.get("wheels") == FOLDER:
        os.rmdir(root + "/wheels")  # its installer goes by whether it is there
    if not looked.seen:
        raise RefusedError("it is empty")
    return looked.seen


def looks_like(path):
    """What the file is in place of an archive, empty where its first bytes don't show it."""
    with open(path, "rb") as file:
        head = file.read(60)
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"{")):
        return f"it looks like a page or an error message: {head.decode('latin-1')!r}"
    return "" if head else "it is empty"


def unpack(path, digest, folder, facts, sets):
    """Unpack into the empty folder; (exit code, the app's name or empty for another maker's archive).

    The file `facts` becomes one line of JSON: what was unpacked. With 65 the archive is not what it should
    be. Raises OSError, with ENOSPC if too little is free. What was written before that is the caller's to
    remove.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    line, app, version = f'{{"digest":"{digest}"}}', "", ""
    try:
        if write(path, folder, sets).get(MANIFEST) == FILE:
            with open(folder + "/" + MANIFEST, encoding="utf-8", errors="replace") as file:
                app, version, commit = identity(file.read(MANIFEST_HEAD))
            line = f'{{"digest":"{digest}","app":"{app}","version":"{version}","commit":"{commit}"}}'
    except RefusedError as error:
        reasons = "; ".join(filter(None, (looks_like(path), str(error))))
        print(f"not an artifact: {reasons}")
        return 65, ""
    except (ValueError, IndexError, zlib.error) as error:
        print(f"not an artifact: {looks_like(path) or 'it is no tar file'} ({error})")
        return 65, ""
    with open(facts + ".new", "w") as file:
        file.write(line + "\n")
    os.replace(facts + ".new", facts)
    if app:
        print(f"{app} {version}")
    else:
        print("warning: no manifest: another maker's archive, its contents are taken as they are")
    return 0, app

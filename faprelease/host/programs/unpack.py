"""Unpack an artifact into a new release folder, and check each entry before it is written.

For fetch.py. It has its own reader of tar (POSIX.1-2001 with pax headers, and GNU's long names), which
accepts only what a release may hold: tarfile accepts too much, and takes longer than everything else in
here.
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
"""Of all names together with the folders they are in: they are kept in memory."""
LONGEST_HEADER = 1 << 17
CHUNK, HEADERS = 1 << 20, 1 << 14
"""How many bytes are read and inflated at once; HEADERS where hardly more than headers is needed."""
BLOCK = 512
END = bytes(BLOCK)
CPU_SECONDS = 1800
FILE, FOLDER, LINK = "file", "folder", "link"
KINDS = {b"0": FILE, b"\0": FILE, b"5": FOLDER, b"2": LINK}


class RefusedError(Exception):
    """The archive is hostile or damaged."""


class OtherAppError(Exception):
    """The artifact is of another app."""


class Source:
    """The archive's bytes: of a plain file, or of all members of a gzip file, whose checksums zlib checks.

    `ends` is where its members end in the file, if that is known.
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
                    raise RefusedError("it is truncated")
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
                raise RefusedError("it is truncated")
            piece = self.ready[self.at : self.at + size]
            self.at += len(piece)
            size -= len(piece)
            yield piece

    def read(self, size):
        return b"".join(self.pieces(size))

    def skip(self, size):
        """Skip `size` bytes. The rest of a member is not inflated if none of it is needed: the last four
        bytes of a member say how long it is (RFC 1952, ISIZE)."""
        while size:
            inflated = min(size, len(self.ready) - self.at)
            self.at += inflated
            size -= inflated
            rest = self._rest() if size and self.number < len(self.ends) else size + BLOCK
            if rest >= size + BLOCK:
                for _ in self.pieces(size):
                    pass
                return
            # Fewer bytes than a block are the padding of a file's last block.
            self.ready, self.at = bytes(max(rest - size, 0)), 0
            size -= min(rest, size)
            self.file.seek(self.ends[self.number])
            self.raw, self.member = b"", None
            self.number, self.given = self.number + 1, 0

    def _rest(self):
        """How many bytes of the member are still to be inflated."""
        end = self.ends[self.number]
        return max(int.from_bytes(os.pread(self.file.fileno(), 4, end - 4), "little") - self.given, 0)

    def rest_is_zeros(self):
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
    records, start = {}, 0
    while start < len(data):
        end = start + int(data[start : start + 9].split(b" ", 1)[0])
        if not start < end <= len(data):
            raise ValueError("length of a pax record")
        key, value = data[start:end].split(b" ", 1)[1][:-1].split(b"=", 1)
        # There may be any number of other keys.
        if key in (b"path", b"linkpath", b"size"):
            records[key] = value
        elif key.startswith(b"GNU.sparse"):
            records[b"GNU.sparse"] = b""
        start = end
    return records


def entries(source):
    """(name, kind, mode, size, target of a link) of each entry; read its data before the next one."""
    extra = {}
    while True:
        head = source.read(BLOCK)
        if head == END:
            if source.read(BLOCK) != END or not source.rest_is_zeros():
                raise RefusedError("there is data after its end mark")
            return
        if number(head[148:156]) != sum(head) - sum(head[148:156]) + 8 * 32:
            raise RefusedError("it is not a tar file, or it is damaged: a header has a wrong checksum")
        kind, size = head[156:157], number(head[124:136])
        if size < 0:
            raise RefusedError("a header has a negative size")
        padding = -size % BLOCK
        if kind in (b"x", b"g", b"L", b"K"):
            if size > LONGEST_HEADER:
                raise RefusedError(f"a header has {size} bytes")
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
                raise RefusedError("a header has a negative size")
        if max(len(name), len(link)) > LONGEST_NAME or name.count("/") > DEEPEST_NAME:
            raise RefusedError(f"the name {name[:60] + '...'!r} is too long")
        if kind not in KINDS or b"GNU.sparse" in extra:
            raise RefusedError(f"{name!r} is neither a file, a folder nor a symbolic link")
        if kind != b"0" and kind != b"\0" and size:
            raise RefusedError(f"{name!r} is not a file, but has contents")
        extra = {}
        while name.startswith("./"):
            name = name[2:]
        name = name.rstrip("/")
        if name not in ("", "."):
            yield name, KINDS[kind], number(head[100:108]), size, link
        source.read(padding)


def escapes(name, target):
    """True if a link at `name` to `target` could leave the folder.

    `..` is allowed only at the start: after another link it would not lead to where it seems to.
    """
    depth, parts = name.count("/"), target.split("/")
    while parts and parts[0] in ("..", "."):
        depth -= parts.pop(0) == ".."
    return target.startswith("/") or ".." in parts or depth < 0


class Contents:
    """The entries so far, as far as the next one could conflict with them, and the free space."""

    def __init__(self, disk):
        self.seen, self.folders, self.total, self.letters = {}, set(), 0, 0
        self.free = disk.f_bavail * disk.f_frsize
        # Some file systems do not report it.
        self.inodes = disk.f_favail if disk.f_files else MOST_ENTRIES

    def add(self, name, kind, size, link):
        """Check an entry before it is written. Raises RefusedError, and OSError if it does not fit."""
        self._check(name, kind, link)
        self._remember(name, kind)
        self.total += size
        if self.total > self.free:
            raise OSError(28, f"it needs more than the {self.free} bytes that are free")
        if len(self.seen) > MOST_ENTRIES:
            raise RefusedError(f"it holds more than {MOST_ENTRIES} entries")
        if len(self.folders) > MOST_FOLDERS:
            raise RefusedError(f"it holds more than {MOST_FOLDERS} folders")
        if max(len(self.seen), len(self.folders)) > self.inodes:
            raise OSError(28, f"it needs more than the {self.inodes} inodes that are free")
        if self.letters > MOST_LETTERS:
            raise RefusedError(f"its names have more than {MOST_LETTERS} letters")

    def _check(self, name, kind, link):
        parts, seen = name.split("/"), self.seen
        if name.startswith("/") or "\\" in name or any(ord(c) < 32 for c in name + link):
            raise RefusedError(f"the name {name!r} could leave the release folder")
        if any(part in ("", ".", "..") for part in parts):
            raise RefusedError(f"the name {name!r} could leave the release folder")
        if name in seen and not kind == seen[name] == FOLDER:
            raise RefusedError(f"{name!r} is in it twice")
        if any(seen.get("/".join(parts[:n]), FOLDER) != FOLDER for n in range(1, len(parts))):
            raise RefusedError(f"{name!r} is inside a link or a file")
        if kind != FOLDER and name in self.folders:
            raise RefusedError(f"{name!r} is also a folder")
        if kind == LINK and (not link or escapes(name, link)):
            raise RefusedError(f"the link {name!r} leaves the release folder")

    def _remember(self, name, kind):
        self.seen[name] = kind
        self.letters += len(name)
        folder = name.rpartition("/")[0]
        while folder and folder not in self.folders:
            self.folders.add(folder)
            self.letters += len(folder)
            folder = folder.rpartition("/")[0]


def identity(manifest):
    """(app, version, commit) of a manifest in format fap/1: in its only encoding they come first, and none of
    the values can contain a quote."""
    words = manifest.split('"')
    if words[1:16:4] != ["format", "app", "version", "commit"] or words[3] != "fap/1":
        raise RefusedError(f"its {MANIFEST} is not in format fap/1")
    values = words[7], words[11], words[15]
    if not all(value.isascii() and value.isprintable() and "\\" not in value for value in values):
        raise RefusedError(f"its {MANIFEST} has the values {values!r}")
    return values


class InstalledPackages:
    """Packages that an earlier release of the app has installed, and that the cache keeps, so that no wheels
    are needed: shared.py and wheelcache.py.

    There are none if `state`, the app's state folder, or `cache` is empty, nor if an installer failed without
    wheels (install.py). `ends` returns the `Source.ends` of the artifact.
    """

    def __init__(self, state, cache, ends):
        self.known, self.ends = bool(state and cache), ends
        self.envs, self.needed, self.cache = state + "/envs", state + "/wheels.needed", cache + "/wheels"

    def have_all(self, root):
        """True if they include everything that the lock of the release in `root` names."""
        if not self.known or os.path.exists(self.needed) or not os.access(self.cache, os.W_OK):
            return False
        # The project's own installer may need the wheels, and so does an older one of fapkit.
        installer = root + "/.fap/installer"
        if not os.path.isdir(installer) or os.path.exists(installer + "/shared.py"):
            return False
        try:
            with open(root + "/requirements.lock", "rb") as file:
                lock = file.read()
            envs, cached = os.listdir(self.envs), {name[:64] for name in os.listdir(self.cache)}
        except OSError:
            return False
        digest = fetch.new_sha256(len(lock))
        digest.update(lock)
        wanted = {line.rpartition(":")[2] for line in lock.decode("latin-1").split("\n") if line}
        return wanted <= cached and any(name.startswith(digest.hexdigest()[:32] + "-") for name in envs)


def written_identity(root):
    """(app, version, commit) of the manifest in a folder."""
    with open(root + "/" + MANIFEST, encoding="utf-8", errors="replace") as file:
        return identity(file.read(MANIFEST_HEAD))


def write(path, root, packages, app):
    """Check and unpack all entries into the empty folder, but no wheels if the `packages` made of them are
    there; returns name → kind of each entry.

    The manifest, which fapbuild writes first, must name `app`, unless that is empty. Raises OtherAppError.
    """
    source, contents, folders, needed = Source(path), Contents(os.statvfs(root)), {""}, None
    for name, kind, mode, size, link in entries(source):
        is_wheel = kind == FILE and name.startswith("wheels/")
        if is_wheel and needed is None:
            needed = not packages.have_all(root)
            source.ends = () if needed else packages.ends()
        is_skipped = is_wheel and not needed
        contents.add(name, kind, 0 if is_skipped else size, link)
        if is_skipped:
            source.skip(size)
            continue
        target = root + "/" + name
        folder = name if kind == FOLDER else name.rpartition("/")[0]
        if folder not in folders:
            os.makedirs(root + "/" + folder, exist_ok=True)
            folders.add(folder)
        if kind == LINK:
            os.symlink(link, target)
        elif kind == FILE:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with open(os.open(target, flags, 0o755 if mode & 0o100 else 0o644), "wb") as file:
                for piece in source.pieces(size):
                    file.write(piece)
            if name == MANIFEST and app and written_identity(root)[0] != app:
                raise OtherAppError(written_identity(root)[0])
    if needed is False and contents.seen.get("wheels") == FOLDER:
        os.rmdir(root + "/wheels")  # the installer installs wheels if the folder is there
    if not contents.seen:
        raise RefusedError("it is empty")
    return contents.seen


def looks_like(path):
    """What the file seems to be instead of an archive; empty if its first bytes do not show it."""
    with open(path, "rb") as file:
        head = file.read(60)
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"{")):
        return f"it looks like a page or an error message: {head.decode('latin-1')!r}"
    return "" if head else "it is empty"


def unpack(path, digest, folder, facts, packages, wanted):
    """Unpack into the empty folder; (exit code, name of the app, which is empty if fapbuild did not make it).

    The file `facts` describes what was unpacked, in one line of JSON. Exit code 65: it is not a valid
    artifact, or it is of another app than `wanted`, unless that is empty. Raises OSError, with ENOSPC if the
    disk is too small. On failure the caller clears the folder.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    line, app, version = f'{{"digest":"{digest}"}}', "", ""
    try:
        if write(path, folder, packages, wanted).get(MANIFEST) == FILE:
            app, version, commit = written_identity(folder)
            line = f'{{"digest":"{digest}","app":"{app}","version":"{version}","commit":"{commit}"}}'
    except OtherAppError as error:
        print(f"refused: it is an artifact of the app {error}, not of {wanted} (project_name in deploy.yml)")
        return 65, ""
    except RefusedError as error:
        reasons = "; ".join(filter(None, (looks_like(path), str(error))))
        print(f"not an artifact: {reasons}")
        return 65, ""
    except (ValueError, IndexError, zlib.error) as error:
        print(f"not an artifact: {looks_like(path) or 'it is not a tar file'} ({error})")
        return 65, ""
    with open(facts + ".new", "w") as file:
        file.write(line + "\n")
    os.replace(facts + ".new", facts)
    if app:
        print(f"{app} {version}")
    else:
        print("warning: no manifest: fapbuild did not make this archive; its contents are used as they are")
    return 0, app

"""Unpack an artifact into a new release folder, after everything in it was looked at.

Runs on the host, from standard input: `python3 -I -S - ARCHIVE FOLDER FACTS`. Standard library only,
Python 3.8 or newer. Exit 65: the archive is not what it should be, and nothing was written.
ARCHIVE.sha256 holds its digest. FACTS becomes one line of JSON: what was unpacked.
"""

import gzip
import json
import os
import shutil
import signal
import sys
import tarfile
import zlib

MANIFEST = ".fap/manifest.json"
FORMAT = "fap/1"
MOST_ENTRIES = 500000
CHUNK = 1024 * 1024
LIMIT = 1800  # seconds


class RefusedError(Exception):
    """The archive is hostile or damaged."""


def looks_like(path):
    with open(path, "rb") as file:
        head = file.read(512).lstrip().lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"{")):
        return "it begins like a page or an error message: " + repr(head[:60].decode("latin-1"))
    if not head:
        return "it is empty"
    return "it is no tar file that can be read to its end"


def escapes(name, target):
    """Could a link at `name` to `target` leave the folder?

    `..` may only come first: after another link it would not lead to where it seems to.
    """
    parts = target.split("/")
    while parts and parts[0] in ("..", "."):
        parts.pop(0)
    up = target.split("/")[: -len(parts) or None].count("..")
    return target.startswith("/") or not target or ".." in parts or up > name.count("/")


def check(member, seen, leaves, folders):
    """Refuse an entry that could write outside of the folder, or that another one stands in the way of."""
    name = member.name
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or any(ord(c) < 32 for c in name):
        raise RefusedError("the name %r could leave the release folder" % name)
    if name != os.path.normpath(name):
        raise RefusedError("the name %r has parts that say nothing" % name)
    if not (member.isreg() or member.isdir() or member.issym()):
        raise RefusedError("%r is neither a file, a folder nor a symbolic link" % name)
    if name in seen:
        raise RefusedError("%r is in it twice" % name)
    above = ["/".join(parts[:n]) for n in range(1, len(parts))]
    if any(folder in leaves for folder in above):
        raise RefusedError("%r lies behind a symbolic link or a file" % name)
    if not member.isdir():
        if name in folders:
            raise RefusedError("%r has entries below it, and is no folder" % name)
        leaves.add(name)
    if member.issym() and escapes(name, member.linkname):
        raise RefusedError("the link %r leaves the release folder" % name)
    folders.update(above)
    seen.add(name)


def entries(archive):
    """Every entry, checked; the archive's own end mark must be there, or it was cut at a border."""
    seen, leaves, folders, end = set(), set(), set(), 0
    for member in archive:
        if member.name in (".", "./"):
            continue
        member.name = member.name[2:] if member.name.startswith("./") else member.name
        check(member, seen, leaves, folders)
        end = member.offset_data + ((member.size + 511) // 512 * 512 if member.isreg() else 0)
        if len(seen) > MOST_ENTRIES:
            raise RefusedError("it holds more than %d entries" % MOST_ENTRIES)
        yield member
    if not seen:
        raise RefusedError("there is nothing in it")
    archive.fileobj.seek(end)
    mark = archive.fileobj.read(1024)
    if len(mark) < 1024 or mark.strip(b"\0"):
        raise RefusedError("it ends before the end mark of a tar file: it was cut")
    while archive.fileobj.read(CHUNK):  # to the end of the stream: gzip checks its sums
        pass


def read_manifest(data):
    try:
        manifest = json.loads(data.decode())
        if manifest["format"] != FORMAT:
            raise RefusedError("it is of format %r, not %s" % (manifest["format"], FORMAT))
        for key in ("app", "version", "commit"):
            manifest[key] + ""
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RefusedError("its manifest can't be read (%r)" % error) from None
    return manifest


def examine(path, free):
    """The manifest (None for another maker's archive) and the names of all entries."""
    manifest, names, size = None, set(), 0
    with tarfile.open(path, "r:*") as archive:
        for member in entries(archive):
            size += member.size
            if size > free:
                raise OSError(28, "it unpacks to more than the %d bytes free here" % free)
            if member.name == MANIFEST and member.isreg():
                manifest = read_manifest(archive.extractfile(member).read())
            if not member.isdir():
                names.add(member.name)
    if manifest is not None:
        listed = {MANIFEST}
        listed.update(entry[0] for entry in manifest["files"])
        listed.update("wheels/" + wheel["file"] for wheel in manifest["wheels"])
        if listed != names:
            raise RefusedError(
                "it does not hold what its manifest lists: %s" % ", ".join(sorted(listed ^ names)[:5])
            )
    return manifest


def write(path, folder):
    with tarfile.open(path, "r:*") as archive:
        for member in archive:
            where = os.path.normpath(os.path.join(folder, member.name))
            os.makedirs(where if member.isdir() else os.path.dirname(where), exist_ok=True)
            if member.issym():
                os.symlink(member.linkname, where)
            elif member.isreg():
                with open(where, "xb") as file:
                    shutil.copyfileobj(archive.extractfile(member), file, CHUNK)
                os.chmod(where, 0o755 if member.mode & 0o100 else 0o644)


def main(path, folder, facts):
    signal.alarm(LIMIT)
    with open(path + ".sha256") as file:
        digest = file.read().strip()
    disk = os.statvfs(folder)
    try:
        manifest = examine(path, disk.f_bavail * disk.f_frsize)
    except (RefusedError, ValueError, LookupError, TypeError) as error:
        print("not an artifact: %s" % error)
        return 65
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        print("not an artifact: %s (%s)" % (looks_like(path), str(error).splitlines()[0]))
        return 65
    write(path, folder)
    known = {key: manifest[key] for key in ("app", "version", "commit")} if manifest else {}
    with open(facts + ".new", "w") as file:
        file.write(json.dumps(dict(digest=digest, **known)) + "\n")
    os.replace(facts + ".new", facts)
    os.unlink(path)
    os.unlink(path + ".sha256")
    if manifest:
        print("%(app)s %(version)s" % manifest)
    else:
        print("no manifest: another maker's archive, its contents are taken as they are")
    return 0


try:
    sys.exit(main(*sys.argv[1:]))
except OSError as problem:
    print("can't unpack: %s" % problem)
    sys.exit(1)

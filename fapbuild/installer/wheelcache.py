"""A cache of unpacked and compiled wheels for all apps of a user: `<cache>/wheels/<sha256>-<python>/`.

`tree/` in it is a read-only venv folder without the interpreter; the file `digest` is a digest of that tree.
An entry appears by a rename, and all its bytes are checked before use.
"""

import contextlib
import fcntl
import hashlib
import os
import sys

import bytecode
import linking
import packages
from refusal import RefusedError
from workers import spread

FORMAT = 1
"""The version of the entries' format: increase it when they change."""


class WheelCache:
    """The folder of the entries. Readers share its lock; a sweep holds it exclusively."""

    def __init__(self, folder):
        self.folder = folder

    @contextlib.contextmanager
    def held(self):
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        with open(os.path.join(self.folder, ".lock"), "w") as lock:
            with contextlib.suppress(OSError):  # on a file system without locks
                fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def trees(self, wheels):
        """The tree of each wheel, given as (path, sha256); missing and damaged ones are made."""
        entries = [os.path.join(self.folder, _name(digest)) for _, digest in wheels]
        # Entries that appear from now on are from another installer, and good.
        before = {entry for entry in entries if os.path.lexists(entry)}
        intact = spread(entries, _is_intact)
        missing = [
            (path, entry, linking.name_of_new(entry))
            for (path, _), entry, good in zip(wheels, entries, intact)
            if not good
        ]
        for path, _, _ in missing:
            if not os.path.exists(path):
                name = os.path.basename(path)
                raise RefusedError(
                    f"wheels/{name} is missing, and the cache has none: release the artifact again", 6
                )
        for _, entry, _ in missing:
            if entry in before and os.path.lexists(entry):
                print("warning: %s was damaged, and is made again" % entry)
                aside = linking.name_of_new(entry)
                os.rename(entry, aside)
                linking.remove(aside)
        try:
            missing.sort(key=lambda job: -os.path.getsize(job[0]))
            spread(missing, _unpack)
            sites = [packages.site_of(os.path.join(new, "tree")) for _, _, new in missing]
            bytecode.compile_all((site, bytecode.sources(site), bytecode.UNCHECKED) for site in sites)
            spread(missing, _finish)
        finally:
            for _, _, new in missing:
                if os.path.lexists(new):
                    linking.remove(new)
        return [os.path.join(entry, "tree") for entry in entries]


def _name(sha256):
    return "%s-cp%d%d-%d" % (sha256, *sys.version_info[:2], FORMAT)


def _is_intact(entry):
    try:
        with open(os.path.join(entry, "digest"), encoding="ascii") as file:
            digest = file.read().strip()
        if digest != digest_of(os.path.join(entry, "tree")):
            return False
        os.utime(os.path.join(entry, "digest"))  # the time of its last use
    except (OSError, ValueError):
        return False
    return True


def _unpack(job):
    path, _, new = job
    packages.unpack(path, os.path.join(new, "tree"))


def _finish(job):
    _, entry, new = job
    tree = os.path.join(new, "tree")
    linking.make_read_only(tree)
    with open(os.path.join(new, "digest"), "w", encoding="ascii") as file:
        file.write(digest_of(tree) + "\n")
    with contextlib.suppress(FileExistsError, NotADirectoryError):
        try:
            os.rename(new, entry)
        except OSError as error:
            if not _is_intact(entry):  # or another installer was first, and made the same
                raise error from None


def digest_of(tree):
    """A sha256 of the paths, modes and contents of all files."""
    total = hashlib.sha256()
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                digest = hashlib.sha256(file.read()).hexdigest()
            line = "%s %o %s\n" % (digest, mode, os.path.relpath(path, tree))
            total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()

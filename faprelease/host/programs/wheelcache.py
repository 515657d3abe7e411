"""A cache of unpacked and compiled wheels for all apps of a user.

An entry is `<cache>/wheels/<sha256>-<digest of the file's name>-<bytecode>-<python>-<format>/`. A wheel's
name decides where some of its files go, and an artifact may give it another one. If an artifact brings the
bytecode, its sha256 is in the name, and other artifacts don't get it. `tree/` is a read-only
venv folder without the interpreter; the file `digest` is a digest of that tree. An entry appears by a rename,
and all its bytes are checked before use. Only programs of the releaser write here; installers of artifacts
can't.
"""

import contextlib
import fcntl
import hashlib
import os
import sys
from collections import Counter

import bytecode
import linking
import packages
from digest import new_sha256
from refusal import RefusedError
from wheels import BYTECODE
from workers import spread

FORMAT = 2
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

    def link_all(self, wheels, venv):
        """Link the trees of wheels, given as sorted (path, sha256, sha256 of the bytecode), into the folder
        of a venv; returns the sha256 of each file by its path in there. If two wheels contain the same file,
        the later one wins, as with pip. Raises RefusedError and OSError."""
        trees = self._trees(wheels)
        linked = spread([tree for tree, _ in trees], lambda tree: linking.link_tree(tree, venv))
        times = Counter(path for paths in linked for path in paths)
        files = {}
        for (tree, digests), paths in zip(trees, linked):
            for path in paths:
                files[path] = digests[path]
                if times[path] > 1:
                    os.unlink(os.path.join(venv, path))
                    linking.link(os.path.join(tree, path), os.path.join(venv, path))
        return files

    def _trees(self, wheels):
        """The tree of each wheel and the sha256 of its files; missing and damaged trees are made."""
        entries = [os.path.join(self.folder, _name(*wheel)) for wheel in wheels]
        # Entries that appear from now on are from another installer, and good.
        before = {entry for entry in entries if os.path.lexists(entry)}
        digests = dict(zip(entries, spread(entries, _digests_if_intact)))
        missing = [
            (path, entry, linking.name_of_new(entry))
            for (path, *_), entry in zip(wheels, entries)
            if digests[entry] is None
        ]
        for _, entry, _ in missing:
            if entry in before and os.path.lexists(entry):
                print("warning: %s was damaged, and is made again" % entry)
                aside = linking.name_of_new(entry)
                os.rename(entry, aside)
                linking.remove(aside)
        for path, _, _ in missing:
            if not os.path.exists(path):
                name = os.path.basename(path)
                raise RefusedError(
                    f"wheels/{name} is missing, and the cache has none: release the artifact again", 6
                )
        try:
            missing.sort(key=lambda job: -os.path.getsize(job[0]))
            spread(missing, _unpack)
            sites = [packages.site_of(os.path.join(new, "tree")) for _, _, new in missing]
            bytecode.compile_all((site, bytecode.lacking(site), bytecode.UNCHECKED) for site in sites)
            digests.update(zip((entry for _, entry, _ in missing), spread(missing, _finish)))
        finally:
            for _, _, new in missing:
                if os.path.lexists(new):
                    linking.remove(new)
        return [(os.path.join(entry, "tree"), digests[entry]) for entry in entries]


def _name(path, sha256, compiled):
    name = new_sha256(os.fsencode(os.path.basename(path))).hexdigest()[:16]
    parts = [sha256, name, compiled, "cp%d%d" % sys.version_info[:2], str(FORMAT)]
    return "-".join(filter(None, parts))


def _digests_if_intact(entry):
    """The sha256 of each file of an entry by its path; None unless it is as it was made."""
    try:
        with open(os.path.join(entry, "digest"), encoding="ascii") as file:
            digest = file.read().strip()
        total, digests = digest_of(os.path.join(entry, "tree"))
        if digest != total:
            return None
        os.utime(os.path.join(entry, "digest"))  # the time of its last use
    except (OSError, ValueError):
        return None
    return digests


def _unpack(job):
    path, _, new = job
    tree = os.path.join(new, "tree")
    packages.unpack(path, tree)
    if os.path.exists(path + BYTECODE):
        site = packages.site_of(tree)
        bytecode.unpack(path + BYTECODE, site, set(bytecode.sources(site)))


def _finish(job):
    _, entry, new = job
    tree = os.path.join(new, "tree")
    linking.make_read_only(tree)
    total, digests = digest_of(tree)
    with open(os.path.join(new, "digest"), "w", encoding="ascii") as file:
        file.write(total + "\n")
    try:
        os.rename(new, entry)
    except OSError:
        digests = _digests_if_intact(entry)
        if digests is None:  # otherwise another installer was first
            raise
    return digests


def digest_of(tree):
    """A sha256 of the paths, modes and contents of all files, and the sha256 of each by its path.

    Whether they may be written does not count: to remove a release by hand one makes its files writable, and
    they are those of the cache.
    """
    total, digests = hashlib.sha256(), {}
    for folder, folders, names in os.walk(tree):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                mode = os.fstat(file.fileno()).st_mode & ~0o222
                digest = hashlib.sha256(file.read()).hexdigest()
            relative = os.path.relpath(path, tree)
            digests[relative] = digest
            line = "%s %o %s\n" % (digest, mode, relative)
            total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest(), digests

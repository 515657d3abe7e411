"""Make room in the cache of unpacked wheels, unless it is in use.

Of the wheels that no installed set of packages links to, those are removed that were not used for a long
time, and the least recently used ones of the rest, down to a size.
"""

import contextlib
import fcntl
import os
import shutil
import time

SWEPT = ".swept"
UNUSED_SECONDS, MOST_BYTES = 30 * 86400, 2 << 30


def main(load, parts, cache):
    remove_dangling(os.path.join(cache, "sets"))
    folder = os.path.join(cache, "wheels")
    with open(os.path.join(folder, ".lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        sweep(folder)
        note_time(os.path.join(folder, SWEPT))


def note_time(path):
    """Note that the cache was swept, by the time of its folder: it is swept again when that is another one,
    since the cache got another entry."""
    open(path, "w").close()  # a new file changes the time, too
    at = os.stat(os.path.dirname(path)).st_mtime_ns
    os.utime(path, ns=(at, at))


def remove_dangling(folder):
    """Remove the notes (other_role.py) of sets that are gone."""
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        if not os.path.exists(os.path.join(folder, name)):
            with contextlib.suppress(FileNotFoundError):  # another sweep was first
                os.unlink(os.path.join(folder, name))


def sweep(folder):
    entries = [os.path.join(folder, name) for name in os.listdir(folder) if name not in (".lock", SWEPT)]
    total = 0
    for entry in sorted(entries, key=last_use, reverse=True):
        links, size = measure(entry)
        if links > 1:
            continue
        total += size
        if total > MOST_BYTES or time.time() - last_use(entry) > UNUSED_SECONDS:
            remove(entry)


def last_use(entry):
    """Seconds since 1970; 0 for an incomplete entry, which nobody is writing, as we have the lock."""
    try:
        return os.stat(os.path.join(entry, "digest")).st_mtime if "." not in os.path.basename(entry) else 0
    except OSError:
        return 0


def measure(entry):
    """(the largest number of links of a file in it, its size in bytes)."""
    links, size = 0, 0
    for parent, _, names in os.walk(os.path.join(entry, "tree")):
        for name in names:
            facts = os.stat(os.path.join(parent, name))
            links, size = max(links, facts.st_nlink), size + facts.st_size
        if links > 1:
            break
    return links, size


def remove(entry):
    """Its folders are read-only. Its files are linked from elsewhere, so their modes stay."""
    for parent, _, _ in os.walk(entry):
        os.chmod(parent, 0o755)
    shutil.rmtree(entry)

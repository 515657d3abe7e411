"""Puts one file in two places: as a clone if the file system can (btrfs, xfs), a hard link, or a copy.

Also makes folders of such files read-only, and removes them.
"""

import errno
import fcntl
import os

FICLONE = 0x40049409
"""ioctl_ficlone(2)."""
CAN_NOT = {
    errno.EXDEV,
    errno.EPERM,
    errno.EMLINK,
    errno.EOPNOTSUPP,
    errno.ENOTTY,
    errno.EINVAL,
    errno.ENOSYS,
}


def _clone(source, target):
    with open(source, "rb") as old:
        mode = os.fstat(old.fileno()).st_mode
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o777), "wb") as new:
            try:
                fcntl.ioctl(new, FICLONE, old.fileno())
            except OSError:
                os.unlink(target)
                raise


def _copy(source, target):
    with open(source, "rb") as old:
        mode = os.fstat(old.fileno()).st_mode
        with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode & 0o777), "wb") as new:
            for block in iter(lambda: old.read(1 << 20), b""):
                new.write(block)


ways = [_clone, os.link, _copy]


def link(source, target):
    """Put the file at `target`; raise FileExistsError if that exists. A way that failed isn't tried again."""
    while True:
        try:
            return ways[0](source, target)
        except OSError as error:
            if error.errno not in CAN_NOT or len(ways) == 1:
                raise
            ways.pop(0)


def link_tree(source, target, leave_out=""):
    """Link all files of a folder, except those below its folder `leave_out`; return their relative paths.

    Existing files are not replaced.
    """
    paths = []
    for folder, folders, names in os.walk(source, onerror=_raise):
        relative = os.path.relpath(folder, source)
        folders[:] = [name for name in folders if os.path.normpath(os.path.join(relative, name)) != leave_out]
        os.makedirs(os.path.join(target, relative), exist_ok=True)
        for name in names:
            path = os.path.normpath(os.path.join(relative, name))
            try:
                link(os.path.join(folder, name), os.path.join(target, path))
            except FileExistsError:
                pass
            paths.append(path)
    return paths


def _raise(error):
    raise error


def name_of_new(path):
    """A unique name beside `path`; it is random, as two contained installers may have the same pid."""
    return "%s.%s.new" % (path, os.urandom(8).hex())


def make_read_only(folder):
    """Make files and folders read-only, against accidents."""
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            os.chmod(path, 0o555 if os.stat(path).st_mode & 0o100 else 0o444)
    make_folders_read_only(folder)


def make_folders_read_only(folder):
    """Make folders read-only whose files are already."""
    for parent, _, _ in os.walk(folder, topdown=False):
        os.chmod(parent, 0o555)


def remove(folder):
    """Remove a read-only tree. Modes of files are not changed: they may have other names elsewhere."""
    for parent, _, _ in os.walk(folder):
        os.chmod(parent, 0o755)
    import shutil

    shutil.rmtree(folder)

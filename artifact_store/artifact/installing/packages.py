"""Installs wheels as packages into a venv's folder."""

import errno
import io
import os
import warnings
import zipfile
from collections import Counter

import layout
from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.records import Hash, RecordEntry
from installer.sources import WheelFile
from installer.utils import copyfileobj_with_hashing
from refusal import RefusedError
from workers import spread

# Wheels are installed with this as their interpreter, which is then replaced: scripts use the python beside
# themselves, so a release can be moved, can be in any path, and does not need `current`. For sh the second
# line is a command; for Python lines two and three are a string.
PLACEHOLDER = b"#!/fap/python"
SHEBANG = b'#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(readlink -f -- "$0")")/python" "$0" "$@"\n\' \'\'\''


def site_of(venv):
    """The folder of the packages in a venv's folder."""
    return os.path.join(str(venv), layout.SITE)


def unpack_all(wheels, venv):
    """Unpack wheels, given as sorted paths. If two contain the same file, the later one wins, as with pip."""
    largest_first = sorted(wheels, key=lambda wheel: -os.path.getsize(wheel))
    written = spread(largest_first, lambda wheel: unpack(wheel, venv))
    times = Counter(path for paths in written for path in paths)
    twice = {wheel for wheel, paths in zip(largest_first, written) if any(times[path] > 1 for path in paths)}
    for wheel in wheels:
        if wheel in twice:
            unpack(wheel, venv)


def unpack(wheel, venv):
    """Unpack one wheel with its scripts and its RECORD; return the list of the files written."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that bytecode in a wheel is left out
        try:
            _check_room(wheel, os.path.dirname(str(venv)))
            with WheelFile.open(wheel) as source:
                destination = _Venv(venv, source.distribution)
                install(source, destination, {"INSTALLER": b"fapkit\n"})
        except OSError:
            raise
        except Exception as error:  # the library does not document what a broken or hostile wheel raises
            raise RefusedError(f"wheels/{os.path.basename(wheel)} can't be installed: {error!r}") from None
    return destination.written


def _check_room(wheel, folder):
    """Raise OSError if a wheel says that it is larger than what is free: a bomb fills no disk."""
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    disk = os.statvfs(folder)
    with zipfile.ZipFile(wheel) as archive:
        size = sum(item.file_size for item in archive.infolist())
    if size > disk.f_bavail * disk.f_frsize:
        name = os.path.basename(wheel)
        raise OSError(errno.ENOSPC, f"wheels/{name} needs {size} bytes: No space left on device")


class _Venv(SchemeDictionaryDestination):
    """The destination of a wheel's parts. Paths are computed, as Debian's sysconfig names other folders."""

    def __init__(self, venv, distribution):
        site = site_of(venv)
        folders = {
            "purelib": site,
            "platlib": site,
            "scripts": os.path.join(venv, "bin"),
            "headers": os.path.join(venv, "include", "site", distribution),
            "data": str(venv),
        }
        super().__init__(folders, PLACEHOLDER[2:].decode("ascii"), "posix")
        self.written, self.folders = [], set()

    def write_to_fs(self, scheme, path, stream, is_executable):
        folder = self.scheme_dict[scheme]
        target = os.path.normpath(os.path.join(folder, path))
        if not target.startswith(folder + os.sep):
            raise ValueError(f"{path} leads out of the venv")
        if scheme == "scripts":
            stream, is_executable = _find_python_beside(stream), True
        parent = os.path.dirname(target)
        if parent not in self.folders:
            os.makedirs(parent, exist_ok=True)
            self.folders.add(parent)
        with open(target, "wb") as file:
            digest, size = copyfileobj_with_hashing(stream, file, "sha256")
        if is_executable:
            os.chmod(target, 0o755)  # the same on every host
        self.written.append(target)
        return RecordEntry(path, Hash("sha256", digest), size)


def _find_python_beside(script):
    data = script.read()
    if data.startswith(PLACEHOLDER):
        data = SHEBANG + data[len(PLACEHOLDER) :]
    return io.BytesIO(data)

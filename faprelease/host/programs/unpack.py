"""Unpack an archive into a new release folder.

For fetch.py. `reader` checks each entry before it is written here.
"""

import os
import resource

import fetch
import reader

CPU_SECONDS = 1800
CHECKED_AGAIN = 64 << 20
"""The free space is read again each time that so many bytes were written: others write, too."""
SMALLEST_FILE = 4096


INSTALLER = ".fap/installer"
WHEEL_FORMAT = 2
"""The format of entries of the cache of wheels (wheelcache.py)."""


class OtherAppError(Exception):
    """The artifact is of another app."""


class Disk:
    """The space that an archive may use. Raises OSError, with ENOSPC, before it is exceeded."""

    def __init__(self, root):
        self.root, self.unchecked = root, 0
        self._read()

    def _read(self):
        self.room, self.reserve = fetch.room(self.root)
        disk = os.statvfs(self.root)
        # Some file systems do not report it.
        self.inodes = disk.f_favail - disk.f_files // 1000 if disk.f_files else reader.MOST_ENTRIES

    def check(self, size, entries):
        """Check that there is space for so many more bytes and entries in all."""
        if size > self.room:
            room = f"{self.room} of the bytes that are free here ({self.reserve} stay free)"
            raise OSError(fetch.NO_SPACE, f"it needs {size} bytes, but may use only {room}")
        if entries > self.inodes:
            raise OSError(fetch.NO_SPACE, f"it needs more than the {self.inodes} inodes that may be used")

    def write(self, size):
        """Count bytes that are about to be written."""
        self.unchecked += size
        if self.unchecked > CHECKED_AGAIN or size > self.room:
            self._read()
            self.unchecked = 0
            self.check(size, 0)
        self.room -= size


class InstalledPackages:
    """Packages that an earlier release of the app has installed, and that the cache keeps, so that no wheels
    are needed: shared.py and wheelcache.py.

    There are none if `state`, the app's state folder, or `cache` is empty, nor if an installer failed without
    wheels (install.py).
    """

    def __init__(self, state, cache, libraries=()):
        """`libraries`: the sha256 of the wheels of fapkit's installer that this releaser knows."""
        self.known, self.libraries = bool(state and cache), set(libraries)
        self.has_own_command = not state
        self.envs, self.needed, self.cache = state + "/envs", state + "/wheels.needed", cache + "/wheels"

    def are_shared(self, manifest):
        """Whether the packages of a decoded manifest of `fap/2` are made here, from the cache: by fapkit's
        installer, with libraries that this releaser knows. Raises RefusedError."""
        try:
            libraries = set(manifest.get("installer") or ())
        except TypeError as error:
            raise reader.RefusedError(f"its {reader.MANIFEST} can't be read: {error}") from None
        return bool(self.known and libraries and libraries <= self.libraries)

    def lacking(self, manifest):
        """The wheels of a decoded manifest of `fap/2` that an installation needs and that are not unpacked in
        the cache, by file name. Raises RefusedError."""
        try:
            python = manifest["target"]["python"]
            wheels = {wheel["file"]: wheel for wheel in manifest["wheels"]}
            entries = {file: self._entry(file, wheel, python) for file, wheel in wheels.items()}
        except (KeyError, TypeError) as error:
            raise reader.RefusedError(f"its {reader.MANIFEST} can't be read: {error}") from None
        if not self.are_shared(manifest) or self._is_unusable():
            return set(wheels)
        return {file for file, entry in entries.items() if not os.path.exists(entry + "/digest")}

    def _entry(self, file, wheel, python):
        """The entry of a wheel for this Python in the cache (wheelcache.py)."""
        digest = fetch.new_sha256(0)
        digest.update(os.fsencode(file))
        parts = [wheel["sha256"], digest.hexdigest()[:16], wheel.get("bytecode", ""), python, WHEEL_FORMAT]
        return os.path.join(self.cache, "-".join(filter(None, map(str, parts))))

    def _is_unusable(self):
        return os.path.exists(self.needed) or not os.access(self.cache, os.W_OK)

    def have_all(self, root, manifest):
        """True if they include everything that the lock of the release in `root` names; `manifest` is that of
        the reader, None for an archive of another tool."""
        installed = manifest.installed if manifest else {}
        is_own = bool(manifest) and manifest.is_ordered and not installed["installer"]
        if not self.known or is_own or self._is_unusable():
            return False
        # The project's own installer may need the wheels, and so does an older one of fapkit.
        installer = root + "/" + INSTALLER
        if not os.path.isdir(installer) or os.path.exists(installer + "/shared.py"):
            return False
        try:
            with open(root + "/requirements.lock", "rb") as file:
                lock = file.read()
            # Those of earlier versions of fapkit have fewer parts.
            envs = {name[:32] for name in os.listdir(self.envs) if name.count("-") == 2}
            entries = [name.split("-") for name in os.listdir(self.cache)]
        except OSError:
            return False
        digest = fetch.new_sha256(len(lock))
        digest.update(lock)
        bytecode = {wheel["sha256"]: wheel.get("bytecode", "") for wheel in installed.get("wheels", ())}
        wanted = {line.rpartition(":")[2] for line in lock.decode("latin-1").split("\n") if line}
        wanted = {(sha256, bytecode.get(sha256, "")) for sha256 in wanted}
        cached = {(parts[0], "") for parts in entries if len(parts) == 4}
        cached |= {(parts[0], parts[2]) for parts in entries if len(parts) == 5}
        return wanted <= cached and digest.hexdigest()[:32] in envs


def write(path, root, packages, app, wheels=None):
    """Check and unpack all entries into the empty folder, but no wheels if the `packages` made of them are
    there; returns (app, version, commit), or None if no manifest is there, and True for an artifact. With
    `wheels`, the file holds these wheels only (members.py).

    A manifest has to be of the app, unless `app` is empty. Raises OtherAppError and RefusedError.
    """
    size = fetch.size(path)
    disk, folders, needed, number = Disk(root), {""}, None, 0
    with open(path, "rb") as file:
        archive = reader.Archive(file, size, lambda: fetch.new_sha256(size), wheels)
        for entry in archive.entries():
            number += 1
            manifest = archive.manifest
            if entry.is_wheel and needed is None:
                needed = wheels is not None or not packages.have_all(root, manifest)
                if needed and manifest:
                    disk.check(manifest.wheels_size, 0)
            if entry.is_wheel and not needed:
                archive.skip(entry)
                continue
            if manifest and number == 2:
                disk.check(manifest.files_size, len(manifest.missing))
            disk.check(entry.size, number)
            folder = entry.name if entry.kind == reader.FOLDER else entry.name.rpartition("/")[0]
            if folder not in folders:
                os.makedirs(root + "/" + folder, exist_ok=True)
                folders.add(folder)
            write_entry(entry, root + "/" + entry.name, disk)
            if app and archive.identity and archive.identity[0] != app:
                raise OtherAppError(archive.identity[0])
    if needed is False and reader.WHEELS in folders:
        os.rmdir(root + "/" + reader.WHEELS)  # the installer installs wheels if the folder is there
    return archive.identity, bool(archive.manifest)


def write_entry(entry, path, disk):
    """Make a file or link."""
    disk.write(SMALLEST_FILE)
    if entry.kind == reader.LINK:
        os.symlink(entry.link, path)
    elif entry.kind == reader.FILE:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o755 if entry.mode & 0o100 else 0o644), "wb") as file:
            for piece in entry.contents:
                disk.write(len(piece))
                file.write(piece)


def looks_like(path):
    """What the file seems to be instead of an archive; empty if its first bytes do not show it."""
    with open(path, "rb") as file:
        head = file.read(60)
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"{")):
        return f"it looks like a page or an error message: {head.decode('latin-1')!r}"
    return "" if head else "it is empty"


def unpack(path, digest, root, folder, facts, packages, wanted, wheels):
    """Unpack into the empty folder; returns the name of the app, which is empty if fapbuild did not make it.

    The file `facts` describes what was unpacked, in one line of JSON. Raises FetchError, with exit code 65 if
    it is not a valid artifact, or of another app than `wanted`, unless that is empty; and OSError, with
    ENOSPC if the disk is too small. On failure the caller clears the folder.
    """
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    told = f'"digest":"{digest}"' + (f',"root":"{root}"' if root else "")
    app = ""
    try:
        identity, is_artifact = write(path, folder, packages, wanted, wheels)
    except OtherAppError as error:
        print(f"refused: it is an artifact of the app {error}, not of {wanted} (project_name in deploy.yml)")
        raise fetch.FetchError(fetch.REFUSED) from None
    except reader.RefusedError as error:
        print(f"not an artifact: {'; '.join(filter(None, (looks_like(path), str(error))))}")
        raise fetch.FetchError(fetch.REFUSED) from None
    except ImportError as error:
        print(f"this host's python3 is not complete: {error}; install the package python3, not its minimum")
        raise fetch.FetchError(1) from None
    if identity:
        app, version, commit = identity
        told += f',"app":"{app}","version":"{version}","commit":"{commit}"'
    with open(facts + ".new", "w") as file:
        file.write(f"{{{told}}}\n")
    os.replace(facts + ".new", facts)
    if app:
        print(f"{app} {version}")
    else:
        print("warning: no manifest: fapbuild did not make this archive; its contents are used as they are")
    if app and not is_artifact:
        print("warning: another tool packed it again, so it is not compared with its manifest")
    return app

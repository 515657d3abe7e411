"""Makes venv/ from wheels/, offline: the part of install.sh that is easier to get right in Python.

Runs on a host under the artifact's own Python (3.8 or later), with its standard library alone. Everything
is built as venv.tmp and renamed at the end, so a venv/ that is there is complete.
"""

import compileall
import fcntl
import hashlib
import io
import json
import os
import platform
import py_compile
import re
import shutil
import sys
import time
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FINAL = ROOT / "venv"
BUILD = ROOT / "venv.tmp"
OLD = ROOT / "venv.old"
VERSION = "{}.{}".format(*sys.version_info[:2])

# Wheels are installed with this as their interpreter, which is then replaced: scripts find the python
# beside themselves, so a release can be moved and needs no `current`. To sh the second line is a command,
# to Python lines two and three are a string.
PLACEHOLDER = b"#!/fap/python"
SHEBANG = b'#!/bin/sh\n\'\'\'exec\' "$(dirname -- "$(readlink -f -- "$0")")/python" "$0" "$@"\n\' \'\'\''


class RefusedError(Exception):
    """Why the artifact can't be installed here; `code` is the exit code."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


def main():
    start = time.monotonic()
    manifest = json.loads((ROOT / ".fap" / "manifest.json").read_text(encoding="utf-8"))
    check_machine(manifest["target"])
    wheels = check_wheels(manifest["wheels"])
    for stale in (BUILD, OLD):
        if stale.exists():
            shutil.rmtree(str(stale))
    make_venv(manifest["app"])
    site = BUILD / "lib" / f"python{VERSION}" / "site-packages"
    install(wheels, site)
    check_requirements(site)
    compile_bytecode(site, manifest["files"])
    name_final_paths()
    set_times(manifest["files"], manifest["epoch"])
    if FINAL.exists():
        FINAL.rename(OLD)
    BUILD.rename(FINAL)
    shutil.rmtree(str(OLD), ignore_errors=True)
    seconds = time.monotonic() - start
    what = f"{manifest['app']} {manifest['version']}"
    print(f"installed {what}: {len(wheels)} packages for Python {VERSION} in {seconds:.1f} s")


def only_one(script):
    """Hold a lock on this file until it is closed; a file system without locks goes without."""
    try:
        fcntl.flock(script, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RefusedError(f"another install.sh is at work in {ROOT}: run it again after that") from None
    except OSError:
        pass


def check_machine(target):
    here = "cp" + VERSION.replace(".", "")
    if platform.python_implementation() != "CPython" or here != target["python"]:
        raise RefusedError(f"this is {here}, and the artifact needs {target['python']}")
    machine = platform.machine()
    if not target["platform"].endswith(machine):
        raise RefusedError(f"this machine is {machine}, and the artifact needs {target['platform']}")
    if target["glibc"]:
        name, _, have = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
        if name != "glibc" or numbers(have) < numbers(target["glibc"]):
            raise RefusedError(f"its wheels need glibc {target['glibc']}, and this is {name} {have}")


def numbers(version):
    return tuple(int(part) for part in re.findall(r"\d+", version))


def check_wheels(listed):
    """The wheels in wheels/: exactly those of requirements.lock, with its hashes."""
    lock = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="ascii").splitlines():
        pin, _, digest = line.partition(" --hash=sha256:")
        lock[digest] = pin
    there = sorted((ROOT / "wheels").glob("*")) if (ROOT / "wheels").is_dir() else []
    files, found = {wheel["file"] for wheel in listed}, {path.name for path in there}
    missing, foreign = files - found, found - files
    if missing:
        raise RefusedError(f"wheels/{min(missing)} is missing: was the whole artifact unpacked?", 6)
    if foreign:
        raise RefusedError(f"wheels/{min(foreign)} is not of this artifact: remove it", 6)
    for path in there:
        if lock.pop(hashlib.sha256(path.read_bytes()).hexdigest(), None) is None:
            raise RefusedError(f"wheels/{path.name} is not what requirements.lock says: fetch it again", 6)
    if lock:
        raise RefusedError(f"no wheel of {min(lock.values())} is there: fetch the artifact again", 6)
    return there


def make_venv(app):
    try:
        import venv
    except ImportError:
        raise RefusedError(f"this Python has no venv module: apt-get install python{VERSION}-venv") from None
    venv.EnvBuilder(with_pip=False, symlinks=True, prompt=app).create(str(BUILD))


def install(wheels, site):
    own = sorted((ROOT / ".fap").glob("installer-*.whl"))
    if not own:
        raise RefusedError("there is no .fap/installer-*.whl: was the whole artifact unpacked?")
    sys.path.insert(0, str(own[0]))
    from installer import install as install_wheel
    from installer.destinations import SchemeDictionaryDestination
    from installer.exceptions import InstallerError
    from installer.sources import WheelFile

    class Venv(SchemeDictionaryDestination):
        def write_to_fs(self, scheme, path, stream, is_executable):
            if scheme == "scripts":
                data = stream.read()
                if data.startswith(PLACEHOLDER):
                    data = SHEBANG + data[len(PLACEHOLDER) :]
                    is_executable = True
                stream = io.BytesIO(data)
            return super().write_to_fs(scheme, path, stream, is_executable)

    for path in wheels:
        with WheelFile.open(path) as source:
            # Paths are computed, because Debian's own sysconfig names other folders.
            scheme = {
                "purelib": str(site),
                "platlib": str(site),
                "scripts": str(BUILD / "bin"),
                "headers": str(BUILD / "include" / "site" / source.distribution),
                "data": str(BUILD),
            }
            # As with pip, of two packages that bring the same file the later one wins.
            to = Venv(scheme, PLACEHOLDER[2:].decode("ascii"), "posix", overwrite_existing=True)
            try:
                install_wheel(source, to, {"INSTALLER": b"fapkit\n"})
            except (InstallerError, ValueError, KeyError) as error:
                raise RefusedError(f"wheels/{path.name} can't be installed: {error!r}") from None


def check_requirements(site):
    """Every package must find those it always needs; what a marker decides was decided at the build."""
    there, needed = set(), []
    for dist in metadata.distributions(path=[str(site)]):
        name = dist.metadata["Name"]
        there.add(normal(name))
        for line in dist.requires or ():
            if ";" not in line:
                needed.append((name, re.match(r"[A-Za-z0-9._-]+", line).group()))
    for name, other in needed:
        if normal(other) not in there:
            raise RefusedError(f"{name} needs {other}, which is not in this artifact: run fapbuild lock")


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def compile_bytecode(site, files):
    """Bytecode of packages never looks at their sources again; the project's own does, for hand edits."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compileall.compile_dir(str(site), quiet=2, force=True, workers=workers, invalidation_mode=unchecked)
    checked = py_compile.PycInvalidationMode.CHECKED_HASH
    for path, _, _ in files:
        if path.endswith(".py") and not path.startswith(".fap/"):
            compileall.compile_file(str(ROOT / path), quiet=2, force=True, invalidation_mode=checked)


def name_final_paths():
    """venv wrote the folder's name into a few files for people; they must name where it ends up."""
    for path in [BUILD / "pyvenv.cfg", *(BUILD / "bin").glob("[Aa]ctivate*")]:
        text = path.read_bytes()
        path.write_bytes(text.replace(os.fsencode(str(BUILD)), os.fsencode(str(FINAL))))


def set_times(files, epoch):
    """The project's files are as old as the commit, on every host: web servers make ETags of that."""
    for path, _, _ in files:
        os.utime(str(ROOT / path), (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    try:
        with open(__file__, "rb") as this:
            only_one(this)
            main()
    except RefusedError as error:
        print(f"install.sh: {error}", file=sys.stderr)
        sys.exit(error.code)
    except OSError as error:
        print(f"install.sh: {error}; mend that, and run it again", file=sys.stderr)
        sys.exit(1)

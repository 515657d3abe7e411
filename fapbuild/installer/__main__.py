"""Makes venv/ from wheels/, offline: the main path of install.sh.

Runs on a host under the artifact's own Python (3.8 or later), with its standard library and the wheels in
.fap/. Everything is built as venv.tmp and renamed at the end, so a venv/ that is there is complete.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path += [str(wheel) for wheel in sorted((ROOT / ".fap").glob("*.whl"))]

import afterwards  # noqa: E402 (these need the wheels on the path)
import layout  # noqa: E402
import machine  # noqa: E402
import packages  # noqa: E402
import requirements  # noqa: E402
from refusal import RefusedError  # noqa: E402

FINAL = ROOT / "venv"
BUILD = ROOT / "venv.tmp"
OLD = ROOT / "venv.old"
PATIENCE = 3
"""Seconds to wait for another installer, such as the last workers of one that was killed."""


def main():
    start = time.monotonic()
    manifest = json.loads((ROOT / ".fap" / "manifest.json").read_text(encoding="utf-8"))
    machine.check(manifest["target"], manifest.get("libraries", ()))
    files = [path for path, _, _ in manifest["files"]]
    check_files(files)
    wheels = check_wheels(manifest["wheels"])
    for stale in (BUILD, OLD):
        if stale.exists():
            shutil.rmtree(str(stale))
    site = layout.begin(BUILD)
    packages.unpack_all(wheels, BUILD, site)
    for warning in requirements.check(site):
        print(f"warning: {warning}")
    layout.finish(BUILD, manifest["app"])
    packages.compile_all(site, ROOT, [path for path in files if is_the_projects_python(path)])
    set_times(files, manifest["epoch"])
    if FINAL.exists():
        FINAL.rename(OLD)
    BUILD.rename(FINAL)
    shutil.rmtree(str(OLD), ignore_errors=True)
    afterwards.run(ROOT, FINAL, manifest.get("post_install", ()))
    seconds = time.monotonic() - start
    what = f"{manifest['app']} {manifest['version']}"
    print(f"installed {what}: {len(wheels)} packages for Python {layout.VERSION} in {seconds:.1f} s")


def only_one(script):
    """Hold a lock on this file until it is closed; a file system without locks goes without."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(script, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise RefusedError(
                    f"another install.sh is at work in {ROOT}: run it again after that"
                ) from None
            time.sleep(0.1)
        except OSError:
            return None


def check_files(listed):
    for path in listed:
        if not os.path.lexists(str(ROOT / path)):
            raise RefusedError(f"{path} is missing: was the whole artifact unpacked?", 6)


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
        if lock.pop(sha256_of(path), None) is None:
            raise RefusedError(f"wheels/{path.name} is not what requirements.lock says: fetch it again", 6)
    if lock:
        raise RefusedError(f"no wheel of {min(lock.values())} is there: fetch the artifact again", 6)
    return there


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def is_the_projects_python(path):
    return path.endswith(".py") and not path.startswith(".fap/")


def set_times(files, epoch):
    """The project's files are as old as the commit, on every host: web servers make ETags of that."""
    for path in files:
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
    except KeyboardInterrupt:
        print("install.sh: interrupted; run it again", file=sys.stderr)
        sys.exit(130)

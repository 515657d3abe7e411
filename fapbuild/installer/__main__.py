"""Makes venv/ from wheels/, offline: the main path of install.sh.

Runs on a host with the Python that the artifact needs (3.8 or later), its standard library and the wheels in
.fap/. Everything is built in venv.tmp and renamed at the end, so an existing venv/ is always complete.

It writes only to its own folder, and to two others if these variables are set: FAP_ENVS, where releases with
the same requirements.lock share their packages, and FAP_CACHE, where apps share unpacked wheels. FAP_NEW is a
folder in FAP_CACHE (see shared.py). Modules that are not needed when the packages exist are imported late.
"""

import fcntl
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path += [f"{ROOT}/.fap/{name}" for name in sorted(os.listdir(f"{ROOT}/.fap")) if name.endswith(".whl")]

import layout  # noqa: E402 (these need the wheels on the path)
import machine  # noqa: E402
from refusal import RefusedError  # noqa: E402

FINAL, BUILD, OLD = f"{ROOT}/venv", f"{ROOT}/venv.tmp", f"{ROOT}/venv.old"
WHEELS = f"{ROOT}/wheels"
PATIENCE = 3
"""Seconds to wait for another installer, such as the remaining workers of one that was killed."""


def main():
    start = time.monotonic()
    with open(f"{ROOT}/.fap/manifest.json", encoding="utf-8") as file:
        manifest = json.load(file)
    machine.check(manifest["target"], manifest.get("libraries", ()))
    files = [path for path, _, _ in manifest["files"]]
    check_files(files)
    for stale in (BUILD, OLD):
        remove(stale)
    for warning in make_venv(manifest):
        print(f"warning: {warning}")
    compile_own(manifest["app"], [path for path in files if is_the_projects_python(path)])
    set_times(files, manifest["epoch"])
    if os.path.exists(FINAL):
        os.rename(FINAL, OLD)
    os.rename(BUILD, FINAL)
    remove(OLD)
    if manifest.get("post_install"):
        import afterwards

        afterwards.run(ROOT, FINAL, manifest["post_install"])
    if os.environ.get("FAP_ENVS"):
        # They are unpacked in the shared packages, and still in the artifact, so no release needs them.
        remove(WHEELS)
    seconds = time.monotonic() - start
    what = f"{manifest['app']} {manifest['version']}"
    print(
        f"installed {what}: {len(manifest['wheels'])} packages for Python {layout.VERSION} in {seconds:.1f} s"
    )


def remove(folder):
    """Remove a folder if it exists."""
    try:
        for name in os.listdir(folder):  # most hold only files, and shutil loads slowly
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def make_venv(manifest):
    """Make BUILD; return the warnings."""
    envs = os.environ.get("FAP_ENVS")
    if envs:
        import shared

        cache, made_in = os.environ.get("FAP_CACHE", ""), os.environ.get("FAP_NEW", "")
        lock = f"{ROOT}/requirements.lock"
        env, warnings = shared.find_or_make(envs, cache, made_in, lock, lambda: wheels_of(manifest["wheels"]))
        shared.thin_venv(BUILD, env, manifest["app"])
        return warnings
    import bytecode
    import packages
    import requirements

    wheels = [path for path, _ in check_wheels(manifest["wheels"])]
    site = layout.begin(BUILD)
    os.mkdir(site)
    packages.unpack_all(wheels, BUILD)
    warnings = requirements.check(site)
    layout.finish(BUILD, manifest["app"])
    bytecode.compile_all([(site, bytecode.sources(site), bytecode.UNCHECKED)])
    return warnings


def compile_own(app, files):
    """Compile the project's files; unchanged ones get their bytecode from the cache."""
    import bytecode

    cache = os.environ.get("FAP_CACHE") if os.environ.get("FAP_ENVS") else ""
    cached = (
        os.path.join(cache, "bytecode", f"{app}-{sys.implementation.cache_tag}".replace("/", "_"))
        if cache
        else ""
    )
    bytecode.compile_own(ROOT, files, cached)


def only_one(script):
    """Lock this file until it is closed; on a file system without locks do nothing."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(script, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise RefusedError(
                    f"another install.sh is running in {ROOT}: run this one again afterwards"
                ) from None
            time.sleep(0.1)
        except OSError:
            return None


def check_files(listed):
    for path in listed:
        if not os.path.lexists(f"{ROOT}/{path}"):
            raise RefusedError(f"{path} is missing: was the whole artifact unpacked?", 6)


def wheels_of(listed):
    """The wheels as (path, sha256). An installed release has none, but the cache may have them."""
    if os.path.isdir(WHEELS):
        return check_wheels(listed)
    return [(f"{WHEELS}/{wheel['file']}", wheel["sha256"]) for wheel in listed]


def check_wheels(listed):
    """The wheels in wheels/ as (path, sha256); raise RefusedError unless they match requirements.lock."""
    with open(f"{ROOT}/requirements.lock", encoding="ascii") as file:
        pins = [line.partition(" --hash=sha256:") for line in file.read().splitlines()]
    lock = {digest: pin for pin, _, digest in pins}
    names = sorted(os.listdir(WHEELS)) if os.path.isdir(WHEELS) else []
    files = {wheel["file"] for wheel in listed}
    missing, foreign = files - set(names), set(names) - files
    if missing:
        raise RefusedError(f"wheels/{min(missing)} is missing: was the whole artifact unpacked?", 6)
    if foreign:
        raise RefusedError(f"wheels/{min(foreign)} does not belong to this artifact: remove it", 6)
    checked = [(f"{WHEELS}/{name}", sha256_of(f"{WHEELS}/{name}")) for name in names]
    for name, (_, digest) in zip(names, checked):
        if lock.pop(digest, None) is None:
            raise RefusedError(f"wheels/{name} does not match requirements.lock: fetch the artifact again", 6)
    if lock:
        raise RefusedError(f"the wheel of {min(lock.values())} is missing: fetch the artifact again", 6)
    return checked


def sha256_of(path):
    import hashlib

    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def is_the_projects_python(path):
    return path.endswith(".py") and not path.startswith(".fap/")


def set_times(files, epoch):
    """Give the project's files the time of the commit on every host: web servers make ETags from it."""
    for path in files:
        os.utime(f"{ROOT}/{path}", (epoch, epoch), follow_symlinks=False)


if __name__ == "__main__":
    try:
        with open(__file__, "rb") as this:
            only_one(this)
            main()
    except RefusedError as error:
        print(f"install.sh: {error}", file=sys.stderr)
        sys.exit(error.code)
    except OSError as error:
        print(f"install.sh: {error}; fix this, then run it again", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("install.sh: interrupted; run it again", file=sys.stderr)
        sys.exit(130)

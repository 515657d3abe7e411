"""Makes venv/ from wheels/, offline: the main path of install.sh.

Runs on a host with the Python that the artifact needs (3.8 or later), its standard library and the wheels in
.fap/. Everything is built in venv.tmp and renamed at the end, so an existing venv/ is always complete. It
writes only to its own folder.

If FAP_PACKAGES is set, the releaser has checked this machine and the wheels, and has made their packages in
that folder and the bytecode of the project (faprelease/host/programs/shared.py): then the venv links to them.
Modules that are not needed when the packages exist are imported late.
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
from refusal import RefusedError  # noqa: E402

FINAL, BUILD, OLD = f"{ROOT}/venv", f"{ROOT}/venv.tmp", f"{ROOT}/venv.old"
WHEELS = f"{ROOT}/wheels"
PATIENCE = 3
"""Seconds to wait for another installer, such as the remaining workers of one that was killed."""


def main():
    start = time.monotonic()
    with open(f"{ROOT}/.fap/manifest.json", encoding="utf-8") as file:
        manifest = json.load(file)
    files = [path for path, _, _ in manifest["files"]]
    for stale in (BUILD, OLD):
        remove(stale)
    packages = os.environ.get("FAP_PACKAGES")
    if packages:
        check_files(files)
        link_venv(packages, manifest["app"])
    else:
        make_venv(manifest, files)
    set_times(files, manifest["epoch"])
    if os.path.exists(FINAL):
        os.rename(FINAL, OLD)
    os.rename(BUILD, FINAL)
    remove(OLD)
    if manifest.get("post_install"):
        import afterwards

        afterwards.run(ROOT, FINAL, manifest["post_install"])
    if packages:
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


def link_venv(packages, app):
    """Make BUILD with links to `packages`, which is a venv's folder without the interpreter. Its scripts and
    data are in places of their own."""
    import linking

    if not os.path.isdir(os.path.join(packages, layout.SITE)):
        raise RefusedError(
            f"the packages in {packages} are not for Python {layout.VERSION}: set FAP_PYTHON to theirs"
        )
    site = layout.begin(BUILD)
    place = os.path.join(os.path.realpath(os.path.dirname(packages)), os.path.basename(packages))
    link = os.path.join(BUILD, layout.LINK)
    os.symlink(os.path.relpath(place, os.path.realpath(BUILD)), link)
    os.symlink(os.path.join(os.path.relpath(link, os.path.dirname(site)), layout.SITE), site)
    linking.link_tree(packages, BUILD, leave_out=layout.SITE)
    layout.finish(BUILD, app)


def make_venv(manifest, files):
    """Make BUILD of the wheels alone, and the project's bytecode."""
    import bytecode
    import machine
    import packages
    import requirements
    from wheels import BYTECODE, check_wheels

    machine.check(manifest["target"], manifest.get("libraries", ()))
    check_files(files)
    listed = check_wheels(ROOT, manifest["wheels"])
    wheels = [f"{WHEELS}/{name}" for name, _, _ in listed]
    site = layout.begin(BUILD)
    os.mkdir(site)
    packages.unpack_all(wheels, BUILD)
    for warning in requirements.check(site):
        print(f"warning: {warning}")
    layout.finish(BUILD, manifest["app"])
    sources = set(bytecode.sources(site))
    for name, _, compiled in listed:
        if compiled:
            bytecode.unpack(f"{WHEELS}/{name}{BYTECODE}", site, sources)
    bytecode.compile_all([(site, bytecode.lacking(site), bytecode.UNCHECKED)])
    bytecode.compile_own(ROOT, bytecode.projects_python(ROOT, files), "")


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

"""Install a release: make the packages that releases share, then run the artifact's own installer, contained.

The packages of an artifact of fapbuild are made here, by shared.py, with the Python that the artifact was
packed for: this program starts itself again with that one. The artifact's installer, which may be anyone's
code, finds them and can change nothing but its release (contain.py).
"""

import os
import shutil
import sys

CHOSEN = "FAP_INSTALL_PYTHON"
"""Set when this program was started again with the Python that it chose."""
WHEELS_REFUSED = 6
"""The exit code for wheels that are missing or wrong, also of artifacts' own installers."""


def shares_packages():
    """True if the working folder holds an artifact whose packages are made here: it has fapkit's installer,
    and not one of the versions that made them themselves."""
    is_there = os.path.isdir(".fap/installer") and not os.path.islink(".fap/manifest.json")
    return is_there and not os.path.exists(".fap/installer/shared.py")


def wanted_python():
    """The minor version of Python in the artifact's manifest, such as `3.11`; empty if there is none."""
    try:
        with open(".fap/manifest.json", encoding="utf-8", errors="replace") as file:
            head = file.read(4096)
    except OSError:
        return ""
    tag = head.partition('"target":{"python":"cp')[2].partition('"')[0]
    return f"{tag[:1]}.{tag[1:]}" if tag.isdigit() and len(tag) > 1 else ""


def start_again(python):
    """Become this program in another Python. It finds its modules where start.py keeps them."""
    with open("/proc/self/cmdline", "rb") as file:
        words = [os.fsdecode(word) for word in file.read().split(b"\0")[1:-1]]
    os.execve(python, [python, *words], {**os.environ, CHOSEN: python})  # noqa: S606


def make_packages(load, release, state, cache, known_wheels, app):
    """The folder of the packages that the artifact's installer links to; empty if it makes its own.

    Raises OSError, and RefusedError of refusal.py.
    """
    if not os.environ.pop(CHOSEN, ""):
        wanted = wanted_python()
        python = load("pythons").find(wanted)[0] if wanted else ""
        if not python:  # install.sh says so, and where it has looked
            return ""
        if python != sys.executable:
            start_again(python)
    try:
        shared = load("shared")
    except ImportError:  # python3-minimal; install.sh says what it lacks
        return ""
    return shared.make(release, state + "/envs", cache, known_wheels, app)


def main(
    load, parts, release, state, release_id, install, network, strict, cache, readable, known_wheels, app
):
    """Install; `install` is a command, empty for `./install.sh` if there is one. `network`: leave it open.
    `strict`: refuse to run where something can't be contained. `cache`: the folder of unpacked wheels, empty
    for none. `readable`: paths that the installer may read, one per line. `known_wheels`: the sha256 of our
    libraries' wheels, with commas between them. `app`: its name in deploy.yml.

    Exit codes: the installer's own; 78 if `strict` refused; 1 if, for example, the disk is full.
    """
    os.umask(0o022)
    os.chdir(release)
    sandbox = load("sandbox")
    sandbox.limit_process()
    packages, code = "", 0
    if shares_packages():
        from_us = load("refusal").RefusedError
        try:
            packages = make_packages(load, release, state, cache, known_wheels.split(","), app)
        except from_us as error:
            print(error)
            code = error.code
        except OSError as error:
            print(f"{error}; fix this, then release again")
            code = 1
    if not install:
        if not os.path.isfile("install.sh"):
            print("the artifact has no install.sh: nothing to install")
            sys.exit(code or remove_foreign())
        install = "./install.sh" if os.access("install.sh", os.X_OK) else "sh ./install.sh"
    contain = load("contain")
    host = contain.Host(release, state, packages, readable.split("\n"))
    try:
        contain.remove(host.temporary)
        line = ""
        if not code:
            host.make()
            code, line = contain.run(host, sandbox, install, network, strict)
        note_wheels(state + "/wheels.needed", code)
        if line and code == 0:
            with open(f"{state}/releases/{release_id}.install.json", "w") as file:
                file.write(line + "\n")
        contain.remove(host.temporary)
        code = code or remove_foreign()
    except OSError as error:  # the rest is removed with the release, or before the next install
        print(f"{error.filename or release}: {error.strerror}")
        code = 1
    sys.exit(code)


def remove_foreign():
    """Remove what an artifact or its installer brought in place of files that only plugins write. Returns the
    exit code."""
    if os.path.islink(".fap"):
        print("the artifact's installer made .fap a link, which it must not do")
        return 1
    for name in "handover", "schedules":
        shutil.rmtree(f".fap/{name}", ignore_errors=True)
    return 0


def note_wheels(note, code):
    """Note that an install lacked wheels: all are unpacked (unpack.py) until one succeeds."""
    if code == 0 and os.path.exists(note):
        os.unlink(note)
    elif code == WHEELS_REFUSED and os.path.isdir(".fap/installer"):
        open(note, "w").close()

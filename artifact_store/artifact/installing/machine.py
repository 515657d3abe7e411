"""Checks that the artifact was built for this machine."""

import os
import sys

from refusal import RefusedError


def check(platform, libraries):
    """Raise RefusedError unless interpreter, processor, glibc and libraries are what the wheels need."""
    here = "cp{}{}".format(*sys.version_info[:2])
    if sys.implementation.name != "cpython" or here != platform["python"]:
        raise RefusedError(f"this Python is {here}, but the artifact needs {platform['python']}")
    if ("t" in sys.abiflags) != platform["abi"].endswith("t"):
        kind = "free-threaded" if "t" in sys.abiflags else "not free-threaded"
        raise RefusedError(f"this Python is {kind}, but the artifact needs {platform['abi']}")
    check_system(platform)
    check_libraries(libraries)


def check_system(platform):
    """Raise RefusedError unless processor and glibc are what the wheels need."""
    machine = os.uname().machine
    if not platform["platform"].endswith(machine):
        raise RefusedError(f"this machine is {machine}, but the artifact needs {platform['platform']}")
    if platform["glibc"]:
        check_glibc(platform["glibc"])


def libc():
    """(`glibc`, its version); empty words for another C library."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (OSError, ValueError):
        return "", ""
    return name, version


def check_glibc(needed):
    name, have = libc()
    if name != "glibc":
        raise RefusedError(f"the wheels need glibc {needed}, but this machine has another C library")
    if numbers(have) < numbers(needed):
        raise RefusedError(f"the wheels need glibc {needed}, but this machine has {have}")


def numbers(version):
    return tuple(int(part) for part in version.split(".") if part.isdigit())


LOAD = """\
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError as error:
        print(name)
"""


def check_libraries(names, python=sys.executable):
    """Raise RefusedError naming the shared libraries (`libpq.so.5`) that this Python can't load."""
    if not names:
        return
    import subprocess

    argv = [python, "-I", "-c", LOAD, *names]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    missing = done.stdout.decode().split()
    if done.returncode != 0:
        error = done.stderr.decode(errors="replace").strip()
        raise RefusedError(f"can't check the libraries {', '.join(names)}: {error}")
    if missing:
        raise RefusedError(
            f"the wheels need libraries that are missing here: {', '.join(missing)}\n"
            f"  install them; to find the package of one: apt-file search {missing[0]}"
        )

"""The hosts a build is for, and which wheels run on them: PEP 425 (tags), PEP 600 (manylinux)."""

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache

from packaging.markers import default_environment
from packaging.tags import Tag, compatible_tags, cpython_tags, interpreter_name, interpreter_version, sys_tags
from packaging.utils import parse_wheel_filename

from artifact_store.artifact.manifest import Target
from artifact_store.core.errors import FapError, UsageError

# PEP 600 gives the old names of these platforms their glibc.
_LEGACY = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
_MANYLINUX = re.compile(r"(manylinux\d*)(?:_(\d+)_(\d+))?_(.+)")
_NAME = re.compile(r"cp3(?P<minor>\d+)(?:-(?P<platform>manylinux\w+))?")
_OLDEST_MINOR = {"x86_64": 5, "i686": 5}
_EXAMPLE = "write it as wheels do: cp312-manylinux_2_28_x86_64 (Python 3.12, glibc 2.28 or newer, x86_64)"


@cache
def this_machine() -> Target:
    """The target that this interpreter is, with the glibc that this machine has (`2.36`).

    Raises FapError if it is no CPython.
    """
    if interpreter_name() != "cp":
        raise FapError(
            f"fapbuild runs on {sys.implementation.name} here, and artifacts are for CPython",
            hint="install fapkit with the python of your hosts, and pack with that",
        )
    first = next(iter(sys_tags()))
    return Target(
        python=interpreter_name() + interpreter_version(),
        abi=first.abi,
        platform=re.sub(r"[-.]", "_", sysconfig.get_platform()),
        glibc=_glibc(),
    )


def parse(text: str) -> Target:
    """The target called `cp312-manylinux_2_28_x86_64`, or `cp312` for machines like this one.

    An empty text is this machine. Raises UsageError for anything else.
    """
    here = this_machine()
    if text in ("", here.python):
        return here
    match = _NAME.fullmatch(text)
    manylinux = _MANYLINUX.fullmatch(match["platform"] or "") if match else None
    if not match or (match["platform"] and not manylinux):
        raise UsageError(f"target {text!r} is not understood", hint=_EXAMPLE)
    python = f"cp3{match['minor']}"
    platform, glibc = here.platform, here.glibc
    if manylinux:
        platform = f"linux_{manylinux[4]}"
        glibc = f"{manylinux[2]}.{manylinux[3]}" if manylinux[2] else _LEGACY.get(manylinux[1], "")
    if not re.fullmatch(r"2\.\d+", glibc):
        raise UsageError(f"target {text!r} names no glibc", hint=_EXAMPLE)
    abi = here.abi if python == here.python else python
    return Target(python=python, abi=abi, platform=platform, glibc=glibc)


def name(target: Target) -> str:
    """One word for it: `cp311-cp311-linux_x86_64-glibc2.36`."""
    return f"{target.python}-{target.abi}-{target.platform}-glibc{target.glibc}"


def builds_here(target: Target) -> bool:
    """Whether this interpreter can build wheels for the target: the same Python on the same processor."""
    here = this_machine()
    return (target.python, target.abi, target.platform) == (here.python, here.abi, here.platform)


def marker_environment(target: Target) -> dict[str, str]:
    """What environment markers (PEP 508) see on the target.

    Where this interpreter is the target's, that is what it says of itself; of another Python the first
    release (`3.12.0`) is taken, as a target names no later one.
    """
    environment = {key: str(value) for key, value in default_environment().items()}
    if builds_here(target):
        return environment
    python = f"3.{target.python.removeprefix('cp3')}"
    return {
        **environment,
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": target.platform.removeprefix("linux_"),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


@cache
def tags(target: Target) -> tuple[Tag, ...]:
    """The tags of wheels that run on the target, the best first."""
    if target == this_machine():
        return tuple(sys_tags())
    python = (3, int(target.python.removeprefix("cp3")))
    found = list(platforms(target))
    if builds_here(target):
        found.append(target.platform)
    return (
        *cpython_tags(python, [target.abi], found),
        *compatible_tags(python, target.python, found),
    )


def platforms(target: Target) -> Iterator[str]:
    """The platform tags of published wheels that run on the target, the newest glibc first (PEP 600)."""
    machine = target.platform.removeprefix("linux_")
    legacy = {glibc: old for old, glibc in _LEGACY.items()}
    for minor in range(_number(target.glibc)[1], _OLDEST_MINOR.get(machine, 17) - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if old := legacy.get(f"2.{minor}"):
            yield f"{old}_{machine}"


def check_fits(file: str, target: Target, glibc: str = "") -> None:
    """Raise FapError unless the wheel called `file` runs on the target.

    `glibc` is what a wheel that was built for one Linux really needs, where that is known.
    """
    if parse_wheel_filename(file)[3].isdisjoint(tags(target)):
        raise FapError(
            f"{file} does not run on {target.python} {target.platform} (glibc {target.glibc or 'unknown'})",
            hint="fapbuild lock",
        )
    if target.glibc and _number(glibc) > _number(target.glibc):
        raise FapError(
            f"{file} was built for glibc {glibc}, and the target has {target.glibc}",
            hint="pack on a machine as old as the oldest host, or pin a version that has a manylinux wheel",
        )


def least_glibc(file: str, target: Target, glibc: str = "") -> str:
    """The oldest glibc (`2.17`) that a wheel that fits the target runs on; empty if it needs none.

    `glibc` as for `check_fits`; where it is not known, a wheel for one Linux needs the target's.
    """
    found = []
    for platform in {tag.platform for tag in parse_wheel_filename(file)[3]}:
        match = _MANYLINUX.fullmatch(platform)
        if platform == "any":
            return ""
        if match and match[2]:
            found.append(f"{match[2]}.{match[3]}")
        elif match and match[1] in _LEGACY:
            found.append(_LEGACY[match[1]])
        elif platform.startswith("linux_"):
            found.append(glibc or target.glibc)
    return min(found, key=_number) if found else ""


def highest(versions: Iterable[str]) -> str:
    """The highest of some versions of glibc; empty strings don't count."""
    return max((version for version in versions if version), key=_number, default="")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")) if version else ()


def _glibc() -> str:
    if sys.platform != "linux":
        return ""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return ""
    return version if name == "glibc" else ""

"""The hosts a build is for, and which wheels fit them."""

import os
import re
import sys
import sysconfig
from functools import cache

from packaging.tags import Tag, interpreter_name, interpreter_version, sys_tags
from packaging.utils import parse_wheel_filename

from artifact_store.errors import FapError
from artifact_store.manifest import Target

# PEP 600 gives the old names of these platforms their glibc.
_LEGACY = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
_MANYLINUX = re.compile(r"(manylinux\d*)(?:_(\d+)_(\d+))?_.+")


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


def check_fits(file: str, target: Target) -> None:
    """Raise FapError unless the wheel called `file` runs on the target, which is this machine's kind."""
    tags: frozenset[Tag] = parse_wheel_filename(file)[3]
    if tags.isdisjoint(_here()):
        raise FapError(
            f"{file} does not run on {target.python} {target.platform} (glibc {target.glibc or 'unknown'})",
            hint="fapbuild lock",
        )


@cache
def _here() -> frozenset[Tag]:
    return frozenset(sys_tags())


def lowest_glibc(files: list[str], target: Target) -> str:
    """The oldest glibc (`2.17`) that all these wheels run on; empty if none of them needs one.

    Wheels built here (`linux_x86_64`) are said to need the glibc of this machine. Tags: PEP 425, PEP 600.
    """
    needed = [
        _least(platforms, target.glibc) for platforms in (_platforms(file) for file in files) if platforms
    ]
    versions = [version for version in needed if version]
    return max(versions, key=_number) if versions else ""


def _platforms(file: str) -> set[str]:
    platforms = {tag.platform for tag in parse_wheel_filename(file)[3]}
    return set() if "any" in platforms else platforms


def _least(platforms: set[str], here: str) -> str:
    found = []
    for platform in platforms:
        match = _MANYLINUX.fullmatch(platform)
        if match and match[2]:
            found.append(f"{match[2]}.{match[3]}")
        elif match and match[1] in _LEGACY:
            found.append(_LEGACY[match[1]])
        elif platform.startswith("linux_"):
            found.append(here)
    return min(found, key=_number) if found else ""


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

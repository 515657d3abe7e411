"""The platform that a build is for, and which wheels run there: PEP 425 (tags), PEP 600 (manylinux)."""

import os
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec
from packaging.markers import default_environment
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, interpreter_name, interpreter_version, sys_tags
from packaging.utils import parse_wheel_filename

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import FapError, UsageError
from fapbuild import command

# PEP 600 gives the old names of these platforms their glibc.
_LEGACY = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
_MANYLINUX = re.compile(r"(manylinux\d*)(?:_(\d+)_(\d+))?_(.+)")
_NAME = re.compile(r"cp3(?P<minor>\d+)(?:\.(?P<patch>\d+))?(?:-(?P<platform>manylinux\w+))?")
_SYSTEM_PYTHON = "/usr/bin/python3"
_NEWEST = "99"
"""The patch level of a Python of which a target names only the minor version: newer than any."""
_OLDEST_MINOR = {"x86_64": 5, "i686": 5}
_EXAMPLE = (
    "write it like the tag of a wheel: cp312-manylinux_2_28_x86_64 (Python 3.12, glibc 2.28 or newer, "
    "x86_64); cp311.2-manylinux_2_36_x86_64 also names the oldest Python of the hosts, 3.11.2"
)


@cache
def this_machine() -> Platform:
    """The platform of this interpreter, with the glibc version of this machine (`2.36`).

    Raises FapError if it is not CPython, or a build of it with an ABI of its own.
    """
    if interpreter_name() != "cp":
        raise FapError(
            f"fapbuild runs on {sys.implementation.name} here, but artifacts need CPython",
            hint="install fapkit with the same Python as your hosts, and pack with that",
        )
    first = next(iter(sys_tags()))
    python = interpreter_name() + interpreter_version()
    if first.abi != python:
        raise FapError(
            f"this Python is a free-threaded or debug build ({first.abi}), whose wheels no other can load",
            hint=f"install fapkit with the usual build of this Python ({python}), and pack with that",
        )
    return Platform(
        python=python,
        abi=first.abi,
        platform=re.sub(r"[-.]", "_", sysconfig.get_platform()),
        glibc=_glibc(),
    )


def parse(text: str) -> Platform:
    """The platform that `cp312-manylinux_2_28_x86_64` names, or `cp312` for machines like this one.

    `cp311.2` names a release of that Python, too. An empty text names this machine. Raises UsageError for
    anything else.
    """
    here = this_machine()
    if text in ("", here.python):
        return here
    match = _NAME.fullmatch(text)
    manylinux = _MANYLINUX.fullmatch(match["platform"] or "") if match else None
    if not match or (match["platform"] and not manylinux):
        raise UsageError(f"target {text!r} is not understood", hint=_EXAMPLE)
    python = f"cp3{match['minor']}"
    os_and_machine, glibc = here.platform, here.glibc
    if manylinux:
        os_and_machine = f"linux_{manylinux[4]}"
        glibc = f"{manylinux[2]}.{manylinux[3]}" if manylinux[2] else _LEGACY.get(manylinux[1], "")
    if not re.fullmatch(r"2\.\d+", glibc):
        raise UsageError(f"target {text!r} names no glibc version", hint=_EXAMPLE)
    abi = here.abi if python == here.python else python
    least = f"3.{match['minor']}.{match['patch']}" if match["patch"] else ""
    return Platform(python=python, abi=abi, platform=os_and_machine, glibc=glibc, least_python=least)


def target_of_system() -> str:
    """A target for hosts like this machine, if its own Python is an older release of the one that runs here.

    `cp311.2-manylinux_2_36_x86_64`, or empty: then the default is good for them.
    """
    try:
        said = command.run([_SYSTEM_PYTHON, "-V"], cwd=Path("/")).decode()
    except FapError:
        return ""
    match = re.fullmatch(r"Python 3\.(\d+)\.(\d+)\s*", said)
    here = this_machine()
    if not match or int(match[1]) != sys.version_info.minor or int(match[2]) >= sys.version_info.micro:
        return ""
    machine = here.platform.removeprefix("linux_")
    return f"{here.python}.{match[2]}-manylinux_{here.glibc.replace('.', '_')}_{machine}"


def name(platform: Platform) -> str:
    """The platform as one word: `cp311-cp311-linux_x86_64-glibc2.36`."""
    return f"{platform.python}-{platform.abi}-{platform.platform}-glibc{platform.glibc}"


def builds_here(platform: Platform) -> bool:
    """Whether this interpreter can build wheels for the platform: the same Python on the same processor."""
    here = this_machine()
    return (platform.python, platform.abi, platform.platform) == (here.python, here.abi, here.platform)


def marker_environment(platform: Platform) -> dict[str, str]:
    """What environment markers (PEP 508) see on the platform.

    If this interpreter can build for the platform, its own values are used. For another Python it is a
    release newer than any. If the platform names a release, that counts.
    """
    environment = {key: str(value) for key, value in default_environment().items()}
    python = f"3.{platform.python.removeprefix('cp3')}"
    if builds_here(platform):
        return at_release(environment, platform.least_python) if platform.least_python else environment
    release = platform.least_python or f"{python}.{_NEWEST}"
    return {
        **environment,
        "implementation_name": "cpython",
        "implementation_version": release,
        "os_name": "posix",
        "platform_machine": platform.platform.removeprefix("linux_"),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": release,
        "python_version": python,
        "sys_platform": "linux",
    }


def at_release(environment: Mapping[str, str], release: str) -> dict[str, str]:
    """The environment of markers on another release of the same Python (`3.11.2`)."""
    return {**environment, "implementation_version": release, "python_full_version": release}


def check_python(wanted: str, platform: Platform) -> None:
    """Raise UsageError unless the Python of the platform fits `requires-python` of the project."""
    release = marker_environment(platform)["python_full_version"]
    try:
        fits = SpecifierSet(wanted).contains(_plain(release), prereleases=True)
    except InvalidSpecifier:
        return
    if not fits:
        raise UsageError(
            f"the project needs Python {wanted}, but it is packed for {_shown(release)}",
            hint="pack with such a Python; or name that of your hosts: --target cp313-manylinux_2_36_x86_64",
        )


def _plain(release: str) -> str:
    """The release without what builds of a branch add (`3.11.7+`)."""
    return release.rstrip("+")


def _shown(release: str) -> str:
    return f"Python {release.removesuffix(f'.{_NEWEST}')}"


@cache
def tags(platform: Platform) -> tuple[Tag, ...]:
    """The tags of wheels that run on the platform, the best first."""
    if msgspec.structs.replace(platform, least_python="") == this_machine():
        return tuple(sys_tags())
    python = (3, int(platform.python.removeprefix("cp3")))
    names = list(platform_tags(platform))
    if builds_here(platform):
        names.append(platform.platform)
    return (
        *cpython_tags(python, [platform.abi], names),
        *compatible_tags(python, platform.python, names),
    )


def platform_tags(platform: Platform) -> Iterator[str]:
    """The platform tags of published wheels that run on the platform, the newest glibc first (PEP 600)."""
    machine = platform.platform.removeprefix("linux_")
    legacy = {glibc: old for old, glibc in _LEGACY.items()}
    for minor in range(_number(platform.glibc)[1], _OLDEST_MINOR.get(machine, 17) - 1, -1):
        yield f"manylinux_2_{minor}_{machine}"
        if old := legacy.get(f"2.{minor}"):
            yield f"{old}_{machine}"


def check_fits(file: str, platform: Platform, glibc: str = "") -> None:
    """Raise FapError unless the wheel called `file` runs on the platform.

    `glibc` is the version that a wheel with a plain `linux_…` tag needs, if it is known.
    """
    of_wheel = parse_wheel_filename(file)[3]
    if of_wheel.isdisjoint(tags(platform)):
        raise FapError(
            f"{file} does not run on {platform.python} {platform.platform} "
            f"(glibc {platform.glibc or 'unknown'})",
            hint="run `fapbuild lock`",
        )
    if all(tag.platform.startswith("musllinux") for tag in of_wheel):
        raise FapError(
            f"{file} is for hosts with musl (Alpine), but hosts of compiled packages need glibc",
            hint="pack on a machine with glibc; or name the hosts: --target cp312-manylinux_2_28_x86_64",
        )
    if platform.glibc and _number(glibc) > _number(platform.glibc):
        raise FapError(
            f"{file} was built for glibc {glibc}, but the target has {platform.glibc}",
            hint="pack on a machine as old as the oldest host, or pin a version that has a manylinux wheel",
        )


def least_glibc(file: str, platform: Platform, glibc: str = "") -> str:
    """The oldest glibc (`2.17`) on which a wheel for the platform runs; empty if it needs none.

    `glibc` is as in `check_fits`; without it, a wheel with a plain `linux_…` tag needs the platform's own.
    """
    versions = []
    for tag in {tag.platform for tag in parse_wheel_filename(file)[3]}:
        match = _MANYLINUX.fullmatch(tag)
        if tag == "any":
            return ""
        if match and match[2]:
            versions.append(f"{match[2]}.{match[3]}")
        elif match and match[1] in _LEGACY:
            versions.append(_LEGACY[match[1]])
        elif tag.startswith("linux_"):
            versions.append(glibc or platform.glibc)
    return min(versions, key=_number) if versions else ""


def highest(versions: Iterable[str]) -> str:
    """The highest of these glibc versions, ignoring empty strings; empty if there is none."""
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

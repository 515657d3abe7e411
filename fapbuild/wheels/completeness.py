"""Checks that the vendored wheels have everything they need: at the build, not on a host at night."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import FapError
from fapbuild.cache import Cache
from fapbuild.locks import Pin
from fapbuild.project.platforms import at_release, marker_environment
from fapbuild.report import Say
from fapbuild.wheels.vendor import VendoredWheel

_KIND = "completeness-2"


def check(
    pins: Sequence[Pin],
    wheels: Sequence[VendoredWheel],
    platform: Platform,
    cache: Cache,
    say: Say,
    requires_python: str = "",
) -> str:
    """Raise FapError if a wheel needs a package that the lock doesn't have, or another Python; warn about
    other versions. Return the oldest release of that Python (`3.11.3`) of which this is true; empty for any.

    Markers are evaluated for the platform; extras are those of the lock. `requires_python` is the project's
    own. The result is cached.
    """
    environment = marker_environment(platform)
    question = repr(
        (
            metadata.version("packaging"),
            sorted(environment.items()),
            sorted((pin.name, pin.version, sorted(pin.extras)) for pin in pins),
            [(wheel.name, wheel.file, wheel.sha256) for wheel in wheels],
            requires_python,
        )
    )

    def look() -> bytes:
        warnings = _warnings(pins, wheels, environment)
        return msgspec.json.encode((warnings, *least_python(pins, wheels, environment, requires_python)))

    found, _ = cache.remember(_KIND, question, look)
    warnings, least, reason = msgspec.json.decode(found, type=tuple[list[str], str, str])
    for line in warnings:
        say(f"warning: {line}")
    if least:
        say(f"hosts need Python {least} or newer: {reason}")
    return least


def least_python(
    pins: Sequence[Pin],
    wheels: Sequence[VendoredWheel],
    environment: Mapping[str, str],
    requires_python: str,
) -> tuple[str, str]:
    """The oldest release of the environment's Python with which the wheels are complete, and why no older.

    Two empty strings if every release will do. Only releases that the wheels name can make a difference.
    """
    minor, current = environment["python_version"], environment["python_full_version"]
    texts = [requires_python, *(wheel.facts.headers for wheel in wheels)]
    named = {int(patch) for text in texts for patch in re.findall(rf"\b{re.escape(minor)}\.(\d+)", text)}
    newest = int(re.match(rf"{re.escape(minor)}\.(\d+)", current)[1])  # type: ignore[index]
    candidates = {0, *named, *(patch + 1 for patch in named)}
    least = current
    for patch in sorted((one for one in candidates if one <= newest), reverse=True):
        release = f"{minor}.{patch}"
        there = at_release(environment, release)
        if reason := _lacking(pins, wheels, there, requires_python):
            return least, reason
        least = release
    return "", ""


def _lacking(
    pins: Sequence[Pin],
    wheels: Sequence[VendoredWheel],
    environment: Mapping[str, str],
    requires_python: str,
) -> str:
    release = environment["python_full_version"]
    if not _fits(requires_python, release):
        return f"the project needs Python {requires_python}"
    names, extras = {pin.name for pin in pins}, {pin.name: pin.extras for pin in pins}
    for wheel in wheels:
        wanted = wheel.facts.message()["Requires-Python"] or ""
        if not _fits(wanted, release):
            return f"{wheel.name} {wheel.version} needs Python {wanted}"
        for needed in needs(wheel, extras[wheel.name], environment):
            if canonicalize_name(needed.name) not in names:
                what = f"{wheel.name} {wheel.version} needs {needed.name}"
                return f"with an older one {what}, which is not in the lock"
    return ""


def _fits(wanted: str, release: str) -> bool:
    try:
        return SpecifierSet(wanted).contains(release.rstrip("+"), prereleases=True)
    except InvalidSpecifier:  # from before PEP 440
        return True


def _warnings(
    pins: Sequence[Pin], wheels: Sequence[VendoredWheel], environment: Mapping[str, str]
) -> list[str]:
    versions = {pin.name: pin.version for pin in pins}
    extras = {pin.name: pin.extras for pin in pins}
    warnings = []
    release = environment["python_full_version"]
    for wheel in wheels:
        wanted = wheel.facts.message()["Requires-Python"] or ""
        if not _fits(wanted, release):
            raise FapError(
                f"{wheel.name} {wheel.version} needs Python {wanted}, but the target has {release}",
                hint="lock with the Python of your hosts, or choose a version of it that has no such need",
            )
        for needed in needs(wheel, extras[wheel.name], environment):
            have = versions.get(canonicalize_name(needed.name))
            if have is None:
                raise FapError(
                    f"{wheel.name} {wheel.version} needs {needed.name}, which is not in the lock",
                    hint="run `fapbuild lock`, then commit the lock",
                )
            if not needed.specifier.contains(have, prereleases=True):
                warnings.append(f"{wheel.name} {wheel.version} wants {needed}, but the lock has {have}")
    return warnings


def needs(
    wheel: VendoredWheel, extras: frozenset[str], environment: Mapping[str, str]
) -> Iterator[Requirement]:
    """Yield the `Requires-Dist` of a wheel (Core metadata specification) whose markers hold, with extras."""
    for line in wheel.facts.message().get_all("Requires-Dist") or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise FapError(
                f"{wheel.file} requires {line!r}, which is not a valid requirement: {error}"
            ) from error
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in {"", *extras}):
            yield requirement

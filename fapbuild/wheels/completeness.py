"""Checks that the vendored wheels have everything they need: at the build, not on a host at night."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import FapError
from fapbuild.cache import Cache
from fapbuild.locks import Pin
from fapbuild.project.platforms import marker_environment
from fapbuild.report import Say
from fapbuild.wheels.vendor import VendoredWheel

_KIND = "completeness-1"


def check(
    pins: Sequence[Pin], wheels: Sequence[VendoredWheel], platform: Platform, cache: Cache, say: Say
) -> None:
    """Raise FapError if a wheel needs a package that the lock doesn't have; warn about other versions.

    Markers are evaluated for the platform; extras are those of the lock. The result is cached.
    """
    environment = marker_environment(platform)
    question = repr(
        (
            metadata.version("packaging"),
            sorted(environment.items()),
            sorted((pin.name, pin.version, sorted(pin.extras)) for pin in pins),
            [(wheel.name, wheel.file, wheel.sha256) for wheel in wheels],
        )
    )
    warnings, _ = cache.remember(
        _KIND, question, lambda: msgspec.json.encode(_warnings(pins, wheels, environment))
    )
    for line in msgspec.json.decode(warnings, type=list[str]):
        say(f"warning: {line}")


def _warnings(
    pins: Sequence[Pin], wheels: Sequence[VendoredWheel], environment: Mapping[str, str]
) -> list[str]:
    versions = {pin.name: pin.version for pin in pins}
    extras = {pin.name: pin.extras for pin in pins}
    warnings = []
    for wheel in wheels:
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

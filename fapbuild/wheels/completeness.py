"""Whether the vendored wheels have all they need: found here, not on a host at night."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import FapError
from fapbuild.cache import Cache
from fapbuild.locks import Pin
from fapbuild.project.platforms import marker_environment
from fapbuild.wheels.vendor import Vendored

_KIND = "completeness-1"


def check(
    pins: Sequence[Pin],
    vendored: Sequence[Vendored],
    platform: Platform,
    cache: Cache,
    say: Callable[[str], None],
) -> None:
    """Raise FapError if a wheel needs a package that the lock doesn't have; warn of other versions.

    Markers are evaluated for the target; extras are those of the lock. The same wheels are looked at once.
    """
    environment = marker_environment(platform)
    question = repr(
        (
            metadata.version("packaging"),
            sorted(environment.items()),
            sorted((pin.name, pin.version, sorted(pin.extras)) for pin in pins),
            [(wheel.name, wheel.file, wheel.sha256) for wheel in vendored],
        )
    )
    kept, _ = cache.remember(
        _KIND, question, lambda: msgspec.json.encode(_warnings(pins, vendored, environment))
    )
    for line in msgspec.json.decode(kept, type=list[str]):
        say(f"warning: {line}")


def _warnings(pins: Sequence[Pin], vendored: Sequence[Vendored], environment: Mapping[str, str]) -> list[str]:
    versions = {pin.name: pin.version for pin in pins}
    extras = {pin.name: pin.extras for pin in pins}
    found = []
    for wheel in vendored:
        for needed in needs(wheel, extras[wheel.name], environment):
            have = versions.get(canonicalize_name(needed.name))
            if have is None:
                raise FapError(
                    f"{wheel.name} {wheel.version} needs {needed.name}, which the lock does not have",
                    hint="fapbuild lock, and commit the lock",
                )
            if not needed.specifier.contains(have, prereleases=True):
                found.append(f"{wheel.name} {wheel.version} wants {needed}, and the lock has {have}")
    return found


def needs(wheel: Vendored, extras: frozenset[str], environment: Mapping[str, str]) -> Iterator[Requirement]:
    """The `Requires-Dist` of a wheel (Core metadata specification) that hold here, with extras."""
    for line in wheel.facts.message().get_all("Requires-Dist") or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise FapError(f"{wheel.file} requires {line!r}, which is no requirement: {error}") from error
        marker = requirement.marker
        if marker is None or any(marker.evaluate({**environment, "extra": extra}) for extra in {"", *extras}):
            yield requirement

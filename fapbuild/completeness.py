"""Whether the vendored wheels have all they need: found here, not on a host at night."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from artifact_store.errors import FapError
from artifact_store.manifest import Target
from fapbuild.locks import Pin
from fapbuild.target import marker_environment
from fapbuild.wheels import Vendored


def check(
    pins: Sequence[Pin], vendored: Sequence[Vendored], platform: Target, say: Callable[[str], None]
) -> None:
    """Raise FapError if a wheel needs a package that the lock doesn't have; warn of other versions.

    Markers are evaluated for the target; extras are those of the lock.
    """
    environment = marker_environment(platform)
    versions = {pin.name: pin.version for pin in pins}
    extras = {pin.name: pin.extras for pin in pins}
    for wheel in vendored:
        for needed in needs(wheel, extras[wheel.name], environment):
            have = versions.get(canonicalize_name(needed.name))
            if have is None:
                raise FapError(
                    f"{wheel.name} {wheel.version} needs {needed.name}, which the lock does not have",
                    hint="fapbuild lock, and commit the lock",
                )
            if not needed.specifier.contains(have, prereleases=True):
                say(f"warning: {wheel.name} {wheel.version} wants {needed}, and the lock has {have}")


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

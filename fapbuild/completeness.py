"""Whether the vendored wheels have all they need: found here, not on a host at night."""

from collections.abc import Callable, Iterator, Sequence

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from artifact_store.errors import FapError
from fapbuild import wheel_metadata
from fapbuild.locks import Pin
from fapbuild.wheels import Vendored


def check(pins: Sequence[Pin], vendored: Sequence[Vendored], say: Callable[[str], None]) -> None:
    """Raise FapError if a wheel needs a package that the lock doesn't have; warn of other versions.

    Markers are evaluated for this interpreter, which is the target's; extras are those of the lock.
    """
    versions = {pin.name: pin.version for pin in pins}
    extras = {pin.name: pin.extras for pin in pins}
    for wheel in vendored:
        for needed in needs(wheel, extras[wheel.name]):
            have = versions.get(canonicalize_name(needed.name))
            if have is None:
                raise FapError(
                    f"{wheel.name} {wheel.version} needs {needed.name}, which the lock does not have",
                    hint="fapbuild lock, and commit the lock",
                )
            if not needed.specifier.contains(have, prereleases=True):
                say(f"warning: {wheel.name} {wheel.version} wants {needed}, and the lock has {have}")


def needs(wheel: Vendored, extras: frozenset[str]) -> Iterator[Requirement]:
    """The `Requires-Dist` of a wheel (Core metadata specification) that hold here with these extras."""
    for line in wheel_metadata.read(wheel).get_all("Requires-Dist") or ():
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            raise FapError(f"{wheel.file} requires {line!r}, which is no requirement: {error}") from error
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement

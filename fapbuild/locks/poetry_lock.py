"""Reads poetry.lock for packages that `poetry export` drops: some that a marker with an extra asks for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from packaging.markers import InvalidMarker, Marker

from fapbuild.locks.pins import Pin, normalized


def with_dropped(
    pins: Sequence[Pin], lock: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[Pin, ...]:
    """The pins with the packages of the lock that they need in `environment`, and that are not among them."""
    known = {pin.name: pin for pin in pins}
    waiting = list(pins)
    while waiting:
        pin = waiting.pop()
        for name, extras in _needed(pin, lock, environment):
            packages = [one for one in lock.get("package", []) if normalized(one["name"]) == name]
            kinds = {one.get("source", {}).get("type", "legacy") for one in packages}
            if name in known or len(packages) != 1 or kinds != {"legacy"}:
                continue
            known[name] = Pin(name, packages[0]["version"], extras, _hashes(packages[0], lock))
            waiting.append(known[name])
    return tuple(sorted(known.values(), key=lambda pin: pin.name))


def _needed(
    pin: Pin, lock: Mapping[str, Any], environment: Mapping[str, str]
) -> Iterator[tuple[str, frozenset[str]]]:
    """The names of what a package needs there, with the extras that it asks for."""
    for package in lock.get("package", []):
        if normalized(package["name"]) != pin.name or package["version"] != pin.version:
            continue
        for name, value in package.get("dependencies", {}).items():
            for wanted in value if isinstance(value, list) else [value]:
                table = wanted if isinstance(wanted, dict) else {}
                if any(_holds(table.get("markers", ""), environment, extra) for extra in ("", *pin.extras)):
                    yield normalized(name), frozenset(table.get("extras", ()))


def _holds(marker: str, environment: Mapping[str, str], extra: str) -> bool:
    try:
        return not marker or Marker(marker).evaluate({**environment, "extra": extra})
    except InvalidMarker:
        return False


def _hashes(package: Mapping[str, Any], lock: Mapping[str, Any]) -> frozenset[str]:
    """The sha256s of its files, which locks of Poetry 1.2 and older list apart."""
    files = package.get("files") or lock.get("metadata", {}).get("files", {}).get(package["name"], [])
    hashes = (str(file.get("hash", "")) for file in files)
    return frozenset(one.removeprefix("sha256:") for one in hashes if one.startswith("sha256:"))

"""The difference of two artifacts in size and dependencies, from their manifests alone."""

from dataclasses import dataclass

from artifact_store.artifact.manifest import Manifest
from artifact_store.artifact.peek import Outline
from artifact_store.core import text


@dataclass(frozen=True)
class Upgrade:
    """A wheel that both artifacts contain, in different versions."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class WheelChanges:
    """The changes of the wheels, as `name version`. Rebuilt wheels have the same version but other bytes."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    upgraded: tuple[Upgrade, ...]
    rebuilt: tuple[str, ...]


def download(before: Outline, after: Outline) -> int:
    """The bytes that a host with `before` downloads to get `after`, including the first gzip member."""
    present = {member.sha256 for member in before.manifest.members}
    return after.first + sum(
        member.length for member in after.manifest.members if member.sha256 not in present
    )


def wheels(before: Manifest, after: Manifest) -> WheelChanges:
    """The dependencies that were added, removed, upgraded and rebuilt, by name."""
    old = {wheel.name: wheel for wheel in before.wheels}
    new = {wheel.name: wheel for wheel in after.wheels}
    both = sorted(old.keys() & new.keys())
    return WheelChanges(
        added=tuple(f"{name} {new[name].version}" for name in sorted(new.keys() - old.keys())),
        removed=tuple(f"{name} {old[name].version}" for name in sorted(old.keys() - new.keys())),
        upgraded=tuple(
            Upgrade(name, old[name].version, new[name].version)
            for name in both
            if old[name].version != new[name].version
        ),
        rebuilt=tuple(
            f"{name} {new[name].version}"
            for name in both
            if old[name].version == new[name].version and old[name].sha256 != new[name].sha256
        ),
    )


def lines(before: Outline, after: Outline) -> list[str]:
    """The difference in size, download, target and wheels, as lines for people."""
    old, new = before.manifest, after.manifest
    changes = wheels(old, new)
    return [
        f"size       {text.size(before.size)} -> {text.size(after.size)} "
        f"({after.size - before.size:+,} bytes)",
        f"download   {text.size(download(before, after))}, for a host that has {old.version}",
        *([f"for        {_target(old)} -> {_target(new)}"] if old.target != new.target else []),
        f"wheels     {len(changes.added)} added, {len(changes.removed)} removed, "
        f"{len(changes.upgraded)} with another version, {len(changes.rebuilt)} rebuilt",
        *(f"  + {name}" for name in changes.added),
        *(f"  - {name}" for name in changes.removed),
        *(f"  ~ {wheel.name} {wheel.before} -> {wheel.after}" for wheel in changes.upgraded),
        *(f"  ~ {name}, rebuilt" for name in changes.rebuilt),
    ]


def _target(manifest: Manifest) -> str:
    target = manifest.target
    least = target.least_python and f"Python {target.least_python} or newer"
    glibc = target.glibc and f"glibc {target.glibc}"
    return " ".join(filter(None, [target.python, target.platform, least, glibc]))

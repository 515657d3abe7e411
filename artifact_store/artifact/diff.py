"""What changed from one artifact to another in size and dependencies, as their manifests tell; pure."""

from dataclasses import dataclass

from artifact_store.artifact.manifest import Manifest
from artifact_store.artifact.peek import Outline
from artifact_store.core import text


@dataclass(frozen=True)
class Upgrade:
    """A wheel in both, in other versions."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class WheelChanges:
    """`added` and `removed` are `name version`; `rebuilt` have the same version and other bytes."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    upgraded: tuple[Upgrade, ...]
    rebuilt: tuple[str, ...]


def download(before: Outline, after: Outline) -> int:
    """How many bytes of `after` a host that has `before` lacks, the first member included."""
    had = {member.sha256 for member in before.manifest.members}
    return after.first + sum(member.length for member in after.manifest.members if member.sha256 not in had)


def wheels(before: Manifest, after: Manifest) -> WheelChanges:
    """The dependencies that came, went and moved, by name."""
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
    """Size, download, target and wheels, for people."""
    old, new = before.manifest, after.manifest
    found = wheels(old, new)
    return [
        f"size       {text.size(before.size)} -> {text.size(after.size)} "
        f"({after.size - before.size:+,} bytes)",
        f"download   {text.size(download(before, after))}, by a host that has {old.version}",
        *([f"for        {_target(old)} -> {_target(new)}"] if old.target != new.target else []),
        f"wheels     {len(found.added)} added, {len(found.removed)} removed, "
        f"{len(found.upgraded)} in another version, {len(found.rebuilt)} with other bytes",
        *(f"  + {name}" for name in found.added),
        *(f"  - {name}" for name in found.removed),
        *(f"  ~ {wheel.name} {wheel.before} -> {wheel.after}" for wheel in found.upgraded),
        *(f"  ~ {name}, built again" for name in found.rebuilt),
    ]


def _target(manifest: Manifest) -> str:
    target = manifest.target
    return " ".join(filter(None, [target.python, target.platform, target.glibc and f"glibc {target.glibc}"]))

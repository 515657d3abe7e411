"""What an artifact holds, as entries: project files, compiled assets, wheels, fapkit's own parts."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from artifact_store.artifact.ids import ArtifactId
from artifact_store.artifact.manifest import File, Manifest, Wheel
from fapbuild.archive.members import Entry
from fapbuild.assets import Output
from fapbuild.cache import Cache
from fapbuild.guards import files as guards
from fapbuild.packing import evidence
from fapbuild.packing import own_files as parts
from fapbuild.project.config import Settings
from fapbuild.project.git_tree import LINK, SourceTree, check_link, no_submodule
from fapbuild.project.patterns import matcher
from fapbuild.project.platforms import highest, least_glibc
from fapbuild.wheels.vendor import Vendored, lock_text

LOCK = "requirements.lock"


def committed(tree: SourceTree, exclude: Sequence[str]) -> tuple[Entry, ...]:
    """The entries of the commit's files, without those that a pattern of `exclude` matches.

    Raises FapError for a symbolic link that leaves the project, UsageError for a submodule.
    """
    left_out = matcher(exclude)
    for path in tree.submodules:
        if not left_out(f"{path}/"):
            raise no_submodule(path, f'leave it out: exclude = ["/{path}/"]')
    kept = [file for file in tree.files if not left_out(file.path)]
    for file in kept:
        if file.mode == LINK:
            check_link(tree.folder, file.path)
    return tuple(_entry(file.path, file.mode, file.size, tree.folder / file.path) for file in kept)


def collect(
    artifact: ArtifactId,
    settings: Settings,
    files: Sequence[Entry],
    outputs: Sequence[Output],
    vendored: Sequence[Vendored],
    own_wheels: Sequence[Vendored],
    cache: Cache,
) -> tuple[Entry, ...]:
    """All entries but the manifest and the wheels, sorted by path; an asset replaces a committed file.

    Raises UsageError for a name that is taken, or an asset that looks like a secret or is too large.
    """
    by_path = {entry.path: entry for entry in files}
    made = {output.path: _entry(output.path, output.mode, output.size, output.source) for output in outputs}
    own = settings.installer == "own"
    guards.check_names([*by_path, *(path for path in made if path not in by_path)], own_installer=own)
    guards.check_files(
        tuple(made.values()), {output.path: output.digest for output in outputs}, settings, cache
    )
    lock = lock_text(vendored)
    sbom = evidence.sbom(artifact, (*vendored, *own_wheels), cache)
    entries = [
        *(by_path | made).values(),
        *parts.entries(own_wheels, own_installer=own),
        Entry(LOCK, 0o644, len(lock), lock),
        Entry(evidence.SBOM, 0o644, len(sbom), sbom),
    ]
    return tuple(sorted(entries, key=lambda entry: entry.path))


def wheel_entries(vendored: Sequence[Vendored]) -> tuple[Entry, ...]:
    """`wheels/<file>` for each wheel."""
    return tuple(
        Entry(f"wheels/{wheel.file}", 0o644, wheel.size, wheel.path, wheel.sha256) for wheel in vendored
    )


def describe(manifest: Manifest, files: Sequence[Entry], vendored: Sequence[Vendored]) -> Manifest:
    """The manifest with what the artifact holds filled in, all but its members."""
    hosts = manifest.target
    glibc = highest(least_glibc(wheel.file, hosts, wheel.facts.glibc) for wheel in vendored)
    return msgspec.structs.replace(
        manifest,
        target=msgspec.structs.replace(hosts, glibc=glibc),
        libraries=tuple(sorted({name for wheel in vendored for name in wheel.facts.libraries})),
        lock_digest=hashlib.sha256(lock_text(vendored)).hexdigest(),
        wheels=tuple(
            Wheel(
                name=wheel.name, version=wheel.version, file=wheel.file, sha256=wheel.sha256, size=wheel.size
            )
            for wheel in vendored
        ),
        files=tuple(File(entry.path, entry.mode, entry.size) for entry in files),
    )


def _entry(path: str, mode: int, size: int, source: Path) -> Entry:
    content = os.readlink(source) if mode == LINK else source  # noqa: PTH115 (as it is)
    return Entry(path, mode, size, content)

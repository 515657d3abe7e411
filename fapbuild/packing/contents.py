"""The entries of an artifact: project files, compiled assets, wheels, fapkit's own files."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from artifact_store.artifact.ids import ArtifactId
from artifact_store.artifact.manifest import BYTECODE, File, Manifest, Wheel
from fapbuild.archive.members import TarEntry
from fapbuild.assets import OutputFile
from fapbuild.cache import Cache
from fapbuild.guards.files import check_files, check_names
from fapbuild.packing import evidence, own_files
from fapbuild.project.config import BuildSettings
from fapbuild.project.git_tree import LINK, SourceTree, check_link, no_submodule, not_here
from fapbuild.project.patterns import matcher
from fapbuild.project.platforms import highest, least_glibc
from fapbuild.wheels.vendor import VendoredWheel, requirements_lock

REQUIREMENTS_LOCK = "requirements.lock"
"""The file in an artifact that lists its wheels; the project's lock is another file."""


def committed(tree: SourceTree, settings: BuildSettings) -> tuple[TarEntry, ...]:
    """Return the entries of the commit's files, without those that a pattern of `exclude` matches.

    Raises FapError for a symbolic link that leads out of the project, UsageError for a submodule, or a file
    whose content is not here.
    """
    is_excluded = matcher(settings.exclude)
    is_allowed = matcher(allowed.path for allowed in settings.allow)
    for path, kind in tree.filtered.items():
        if not is_excluded(path) and not is_allowed(path):
            raise not_here(path, kind, f'leave it out: exclude = ["/{path}"]')
    for path in tree.submodules:
        if not is_excluded(f"{path}/"):
            raise no_submodule(path, f'leave it out: exclude = ["/{path}/"]')
    files = [file for file in tree.files if not is_excluded(file.path)]
    for file in files:
        if file.mode == LINK:
            check_link(tree.folder, file.path)
    return tuple(_entry(file.path, file.mode, file.size, tree.folder / file.path) for file in files)


def collect(
    artifact: ArtifactId,
    settings: BuildSettings,
    files: Sequence[TarEntry],
    outputs: Sequence[OutputFile],
    wheels: Sequence[VendoredWheel],
    own_wheels: Sequence[VendoredWheel],
    cache: Cache,
) -> tuple[TarEntry, ...]:
    """Return all entries except manifest and wheels, sorted by path. An asset replaces a committed file.

    Raises UsageError for a reserved name, or an asset that looks like a secret or is too large.
    """
    by_path = {entry.path: entry for entry in files}
    assets = {output.path: _entry(output.path, output.mode, output.size, output.source) for output in outputs}
    own = settings.installer == "own"
    check_names([*by_path, *(path for path in assets if path not in by_path)], own_installer=own)
    check_files(tuple(assets.values()), {output.path: output.digest for output in outputs}, settings, cache)
    lock = requirements_lock(wheels)
    sbom = evidence.sbom(artifact, (*wheels, *own_wheels), cache)
    entries = [
        *(by_path | assets).values(),
        *own_files.entries(own_wheels, own_installer=own),
        TarEntry(REQUIREMENTS_LOCK, 0o644, len(lock), lock),
        TarEntry(evidence.SBOM, 0o644, len(sbom), sbom),
    ]
    return tuple(sorted(entries, key=lambda entry: entry.path))


def wheel_entries(wheels: Sequence[VendoredWheel]) -> tuple[TarEntry, ...]:
    """`wheels/<file>` for each wheel, and its bytecode."""
    entries: list[TarEntry] = []
    for wheel in wheels:
        path = f"wheels/{wheel.file}"
        entries.append(TarEntry(path, 0o644, wheel.size, wheel.path, wheel.sha256))
        if wheel.bytecode:
            size, sha256 = wheel.bytecode_size, wheel.bytecode_sha256
            entries.append(TarEntry(path + BYTECODE, 0o644, size, wheel.bytecode, sha256))
    return tuple(entries)


def describe(
    manifest: Manifest,
    files: Sequence[TarEntry],
    wheels: Sequence[VendoredWheel],
    least_python: str,
    installer: Sequence[VendoredWheel] = (),
) -> Manifest:
    """Return the manifest with the contents of the artifact filled in, all except its members."""
    platform = manifest.target
    glibc = highest(least_glibc(wheel.file, platform, wheel.facts.glibc) for wheel in wheels)
    return msgspec.structs.replace(
        manifest,
        target=msgspec.structs.replace(platform, glibc=glibc, least_python=least_python),
        libraries=tuple(sorted({name for wheel in wheels for name in wheel.facts.libraries})),
        installer=tuple(sorted(wheel.sha256 for wheel in installer)),
        lock_digest=hashlib.sha256(requirements_lock(wheels)).hexdigest(),
        wheels=tuple(
            Wheel(
                name=wheel.name,
                version=wheel.version,
                file=wheel.file,
                sha256=wheel.sha256,
                size=wheel.size,
                bytecode=wheel.bytecode_sha256,
                bytecode_size=wheel.bytecode_size,
            )
            for wheel in wheels
        ),
        files=tuple(File(entry.path, entry.mode, entry.size) for entry in files),
    )


def _entry(path: str, mode: int, size: int, source: Path) -> TarEntry:
    content = os.readlink(source) if mode == LINK else source  # noqa: PTH115 (as it is)
    return TarEntry(path, mode, size, content)

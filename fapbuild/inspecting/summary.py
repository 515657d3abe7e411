"""A summary of an artifact with the sizes of its parts: a pure view of its manifest."""

import posixpath
from dataclasses import asdict, dataclass

import msgspec

from artifact_store.artifact.manifest import Manifest
from artifact_store.artifact.peek import Outline
from artifact_store.core import text
from fapbuild.packing.contents import REQUIREMENTS_LOCK
from fapbuild.project.config import BuildSettings

_BIGGEST = 10


@dataclass(frozen=True)
class PartSize:
    """The number of files in a part, and their unpacked size in bytes."""

    files: int
    size: int


def parts(manifest: Manifest, settings: BuildSettings | None) -> dict[str, PartSize]:
    """The sizes by part: `code`, `assets`, `wheels` and `fap` (fapkit's own files).

    Without `settings`, assets can't be told apart from code: they count as `code`, and there is no `assets`.
    """
    outputs = (
        [posixpath.normpath(path) for step in settings.assets for path in step.outputs] if settings else []
    )
    own_installer = settings is not None and settings.installer == "own"
    fapkit_files = {REQUIREMENTS_LOCK} if own_installer else {REQUIREMENTS_LOCK, "install.sh"}
    sizes: dict[str, list[int]] = {"code": [], **({"assets": []} if settings else {})}
    sizes |= {"wheels": [wheel.size for wheel in manifest.wheels], "fap": []}
    for file in manifest.files:
        if file.path.startswith(".fap/") or file.path in fapkit_files:
            name = "fap"
        elif any(file.path == output or file.path.startswith(f"{output}/") for output in outputs):
            name = "assets"
        else:
            name = "code"
        sizes[name].append(file.size)
    return {name: PartSize(len(part), sum(part)) for name, part in sizes.items()}


def biggest(manifest: Manifest) -> list[tuple[str, int]]:
    """The ten largest files with their unpacked sizes in bytes, the largest first."""
    sizes = [(file.path, file.size) for file in manifest.files]
    sizes += [(f"wheels/{wheel.file}", wheel.size) for wheel in manifest.wheels]
    return sorted(sizes, key=lambda item: (-item[1], item[0]))[:_BIGGEST]


def facts(outline: Outline, settings: BuildSettings | None) -> dict[str, object]:
    """The fields of the manifest, `root`, and `size`, `manifest_size`, `parts` and `biggest`, in bytes."""
    fields: dict[str, object] = msgspec.to_builtins(outline.manifest)
    return {
        **fields,
        "root": outline.root,
        "size": outline.size,
        "manifest_size": outline.first,
        "parts": {name: asdict(part) for name, part in parts(outline.manifest, settings).items()},
        "biggest": [{"path": path, "size": size} for path, size in biggest(outline.manifest)],
    }


def lines(outline: Outline, settings: BuildSettings | None) -> list[str]:
    """The summary as lines, for people."""
    manifest = outline.manifest
    least = manifest.target.least_python
    needs = f", Python {least} or newer" if least else ""
    needs += f", glibc {manifest.target.glibc}" if manifest.target.glibc else ""
    sizes = parts(manifest, settings)
    unpacked = sum(part.size for part in sizes.values())
    with_assets = "" if settings else ", including compiled assets, if any"
    return [
        f"{manifest.app} {manifest.version}",
        f"commit     {manifest.commit}{' with uncommitted changes' if manifest.dirty else ''}",
        f"from       {manifest.repository or 'a repository without a remote'}",
        f"for        {manifest.target.python} {manifest.target.platform}{needs}",
        f"processes  {', '.join(manifest.processes) or 'none (no Procfile)'}",
        f"variables  {', '.join(manifest.requires_env) or 'none required'}",
        f"files      {len(manifest.files)}",
        f"wheels     {len(manifest.wheels)}",
        *(f"  {wheel.name} {wheel.version}" for wheel in manifest.wheels),
        f"root       {outline.root or 'none (format fap/1)'}",
        f"size       {text.size(outline.size)}, including the manifest of {text.size(outline.first)}",
        f"unpacked   {text.size(unpacked)}",
        *(
            f"  {name:<8} {text.size(part.size):>9}  in {part.files} files{with_assets * (name == 'code')}"
            for name, part in sizes.items()
        ),
        "largest files",
        *(f"  {text.size(size):>9}  {path}" for path, size in biggest(manifest)),
    ]

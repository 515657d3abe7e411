"""What an artifact is and how large its parts are: a pure view of its manifest."""

import posixpath
from dataclasses import asdict, dataclass

import msgspec

from artifact_store.artifact.manifest import Manifest
from artifact_store.artifact.peek import Outline
from artifact_store.core import text
from fapbuild.packing.contents import LOCK
from fapbuild.project.config import Settings

_BIGGEST = 10


@dataclass(frozen=True)
class Part:
    """Some of the files; `size` is in bytes, unpacked."""

    files: int
    size: int


def parts(manifest: Manifest, settings: Settings | None) -> dict[str, Part]:
    """The files by what they are: `code`, `assets`, `wheels` and `fap` (what fapkit puts in).

    Without `settings` assets can't be told from code: they are counted as `code`, and there is no `assets`.
    """
    outputs = (
        [posixpath.normpath(path) for step in settings.assets for path in step.outputs] if settings else []
    )
    ours = {LOCK} if settings and settings.installer == "own" else {LOCK, "install.sh"}
    sizes: dict[str, list[int]] = {"code": [], **({"assets": []} if settings else {})}
    sizes |= {"wheels": [wheel.size for wheel in manifest.wheels], "fap": []}
    for file in manifest.files:
        if file.path.startswith(".fap/") or file.path in ours:
            part = "fap"
        elif any(file.path == output or file.path.startswith(f"{output}/") for output in outputs):
            part = "assets"
        else:
            part = "code"
        sizes[part].append(file.size)
    return {name: Part(len(found), sum(found)) for name, found in sizes.items()}


def biggest(manifest: Manifest) -> list[tuple[str, int]]:
    """The ten largest files with their sizes in bytes, unpacked; the largest first."""
    sizes = [(file.path, file.size) for file in manifest.files]
    sizes += [(f"wheels/{wheel.file}", wheel.size) for wheel in manifest.wheels]
    return sorted(sizes, key=lambda item: (-item[1], item[0]))[:_BIGGEST]


def facts(found: Outline, settings: Settings | None) -> dict[str, object]:
    """The manifest's fields, and beside them `size`, `manifest_size`, `parts` and `biggest`, in bytes."""
    fields: dict[str, object] = msgspec.to_builtins(found.manifest)
    return {
        **fields,
        "size": found.size,
        "manifest_size": found.first,
        "parts": {name: asdict(part) for name, part in parts(found.manifest, settings).items()},
        "biggest": [{"path": path, "size": size} for path, size in biggest(found.manifest)],
    }


def lines(found: Outline, settings: Settings | None) -> list[str]:
    """The same for people."""
    manifest = found.manifest
    needs = f", glibc {manifest.target.glibc}" if manifest.target.glibc else ""
    divided = parts(manifest, settings)
    unpacked = sum(part.size for part in divided.values())
    together = "" if settings else ", with the compiled assets, if there are any"
    return [
        f"{manifest.app} {manifest.version}",
        f"commit     {manifest.commit}{' and changes that are not committed' if manifest.dirty else ''}",
        f"from       {manifest.repository or 'a repository without a remote'}",
        f"for        {manifest.target.python} {manifest.target.platform}{needs}",
        f"processes  {', '.join(manifest.processes) or 'none (no Procfile)'}",
        f"needs      {', '.join(manifest.requires_env) or 'no variable'}",
        f"files      {len(manifest.files)}",
        f"wheels     {len(manifest.wheels)}",
        *(f"  {wheel.name} {wheel.version}" for wheel in manifest.wheels),
        f"size       {text.size(found.size)}, of which the manifest {text.size(found.first)}",
        f"unpacked   {text.size(unpacked)}",
        *(
            f"  {name:<8} {text.size(part.size):>9}  in {part.files} files{together * (name == 'code')}"
            for name, part in divided.items()
        ),
        "biggest",
        *(f"  {text.size(size):>9}  {path}" for path, size in biggest(manifest)),
    ]

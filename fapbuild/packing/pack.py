"""The main path: a commit becomes an artifact."""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import as_completed
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

from artifact_store.artifact.ids import ArtifactId, check_version
from artifact_store.artifact.manifest import FORMAT, Builder, Manifest, Platform
from artifact_store.core.errors import UsageError
from fapbuild import assets, command, locks
from fapbuild.archive import members as plan
from fapbuild.archive import writer
from fapbuild.cache import Cache, default_folder
from fapbuild.guards import files as guards
from fapbuild.packing import contents, evidence, step_venv
from fapbuild.packing import own_files as parts
from fapbuild.packing.step_venv import Wheels
from fapbuild.project import config, platforms, procfile, version
from fapbuild.project import git_tree as sources
from fapbuild.report import Report
from fapbuild.wheels import completeness, direct
from fapbuild.wheels import vendor as wheels
from fapbuild.wheels.shared import WheelStore

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What `fapbuild pack` was asked for."""

    root: Path
    ref: str = ""
    """A commit to pack; empty for HEAD, which the working tree must then match."""
    version: str = ""
    output: Path = Path("dist")
    allow_dirty: bool = False
    allow_unpushed: bool = False
    target: str = ""
    """The hosts it is for (`cp312-manylinux_2_28_x86_64`); empty for the project's own, else this machine."""
    wheel_store: str = ""
    """The URL of a store where builders share the wheels they built; empty for none."""


@dataclass(frozen=True)
class Gathered:
    """Everything that was read and decided before the first wheel is fetched."""

    tree: sources.SourceTree
    project: config.Project
    id: ArtifactId
    files: tuple[plan.Entry, ...]
    pins: tuple[locks.Pin, ...]
    manifest: Manifest


def pack(request: Request, report: Report) -> writer.Written:
    """Write `<output>/<app>-<version>.tgz`, with its bill of materials and its provenance beside it.

    Raises UsageError for what is wrong with the project, FapError for what went wrong on the way; then
    nothing is written.
    """
    shared = _wheel_store(request.wheel_store) if request.wheel_store else None
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as folder:
        work = Path(folder)
        found = gather(request, work, report.say)
        cache = Cache(default_folder())
        with command.side_by_side(3) as beside:
            checking = beside.submit(_check_files, found, cache)
            vendoring = beside.submit(_vendor, found, cache, shared, work, report)
            compiling = beside.submit(
                assets.compile_all,
                found.project.settings.assets,
                found.tree,
                work / "assets",
                cache,
                step_venv.when_vendored(vendoring, found.manifest, work, report),
                report,
            )
            for first in as_completed((checking, vendoring, compiling)):
                first.result()
            there, outputs = vendoring.result(), compiling.result()
        settings, vendored = found.project.settings, there.vendored
        # A project that installs itself, and no packages, has no use for our installer.
        installer = there.own if vendored or settings.installer == "fapkit" else ()
        files = contents.collect(found.id, settings, found.files, outputs, vendored, installer, cache)
        manifest = contents.describe(found.manifest, files, vendored)
        members = plan.plan_members([*files, *contents.wheel_entries(vendored)])
        _make_output(request.root, request.output)
        what = f"{found.id.file_name}: {len(files)} files, {len(vendored)} wheels"
        with report.task(f"writing {what}", f"wrote {what}"):
            written = writer.write(
                members,
                lambda index: msgspec.structs.replace(manifest, members=index),
                request.output / found.id.file_name,
                cache,
            )
        bill = evidence.bill_in(files)
        origins = {pin.name: str(pin.origin) for pin in found.pins if pin.origin}
        evidence.attach(
            written, bill, evidence.provenance(written, found.tree, vendored, origins, asked(request), bill)
        )
        return written


def _wheel_store(url: str) -> WheelStore:
    from artifact_store.blobs.open import open_blobs  # loads slowly, and most packs use no such store

    return WheelStore(open_blobs(url))


def _check_files(found: Gathered, cache: Cache) -> None:
    digests = {file.path: file.oid for file in found.tree.files}
    guards.check_files(found.files, digests, found.project.settings, cache)


def _vendor(found: Gathered, cache: Cache, shared: WheelStore | None, work: Path, report: Report) -> Wheels:
    platform, say = found.manifest.target, report.say
    (work / "wheels").mkdir()
    pins = direct.build(found.pins, found.tree, platform, cache, work / "wheels", say, shared)
    # The installer's own wheel comes in the same go: each start of pip costs.
    every = wheels.vendor((*pins, *parts.pins(platform)), platform, cache, work / "wheels", say, shared)
    vendored = tuple(sorted(every[: len(pins)], key=lambda wheel: wheel.file))
    completeness.check(pins, vendored, platform, cache, say)
    return Wheels(vendored, every[len(pins) :])


def asked(request: Request) -> dict[str, object]:
    """What of the request decides the artifact, for its provenance."""
    return {
        "ref": request.ref or "HEAD",
        "version": request.version,
        "allowDirty": request.allow_dirty,
        "target": request.target,
    }


def _make_output(project: Path, folder: Path) -> None:
    """A new folder in the project keeps itself out of git, so that no artifact gets into the next one."""
    if not folder.exists() and project.resolve() in folder.resolve().parents:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n")


def gather(request: Request, work: Path, say: Say) -> Gathered:
    """Read the commit and resolve its lock; what is in the files is looked at beside other work."""
    if request.version:
        check_version(request.version)
    changed = () if request.ref else sources.changes(request.root, request.output)
    if not request.allow_dirty:
        guards.check_clean(changed)
    tree = sources.read(
        request.root, request.ref or "HEAD", work / "tree", with_changes=bool(changed), ignore=request.output
    )
    # What CI has checked out came from a remote, whose branches it often does not fetch.
    if not (request.allow_unpushed or tree.dirty or os.environ.get("CI")):
        guards.check_pushed(tree.commit, pushed=sources.is_pushed(request.root, tree.commit))
    project = config.load(tree.folder)
    settings = project.settings
    files = contents.committed(tree, settings.exclude)
    paths = [entry.path for entry in files]
    guards.check_names(paths, own_installer=settings.installer == "own")
    platform = platforms.parse(request.target or settings.target)
    pins = _locked(request, project, tree, work, platform, say)
    chosen = request.version or version.default_version(tree.commit, tree.committed, tree.dirty)
    manifest = Manifest(
        format=FORMAT,
        app=settings.app,
        version=chosen,
        commit=tree.commit,
        repository=tree.repository,
        dirty=bool(tree.dirty),
        epoch=source_date_epoch(os.environ.get("SOURCE_DATE_EPOCH", ""), tree.committed),
        target=platform,
        lock_digest="",
        builder=Builder(
            name="fapbuild",
            version=metadata.version("fapkit"),
            compressor=writer.compressor(),
            level=writer.LEVEL,
            sbom=evidence.sbom_maker(),
        ),
        processes=procfile.read(tree.folder),
        requires_env=settings.requires_env,
        post_install=settings.post_install,
        wheels=(),
        files=(),
        members=(),
    )
    return Gathered(tree, project, ArtifactId(settings.app, chosen), files, pins, manifest)


def _locked(
    request: Request,
    project: config.Project,
    tree: sources.SourceTree,
    work: Path,
    platform: Platform,
    say: Say,
) -> tuple[locks.Pin, ...]:
    """The lock, with the folders beside the project that it may name in their places."""
    for path in locks.asked(project, tree.folder).paths:
        sources.bring(tree, path)
    pins = locks.resolve(project, tree.folder, work, platforms.marker_environment(platform), say)
    if not request.ref:
        beside = [pin.origin.path for pin in pins if pin.origin and pin.origin.path.startswith("../")]
        guards.check_clean_beside(sources.changes(request.root, request.output, beside) if beside else ())
    return pins


def dry_run_lines(request: Request, say: Say) -> tuple[dict[str, object], list[str]]:
    """What `pack` would put in: as an object, and as lines for people. Nothing is fetched or written.

    A missing or stale lock is compiled all the same, as that says which wheels it would be.
    """
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as folder:
        found = gather(request, Path(folder), say)
        _check_files(found, Cache(default_folder()))
    pins = [str(pin) for pin in found.pins]
    outputs = [path for step in found.project.settings.assets for path in step.outputs]
    files = [entry.path for entry in found.files]
    facts: dict[str, object] = {
        "app": found.id.app,
        "version": found.id.version,
        "path": str(request.output / found.id.file_name),
        "commit": found.tree.commit,
        "files": files,
        "assets": outputs,
        "wheels": pins,
    }
    lines = [f"would write {request.output / found.id.file_name}"]
    for title, names in (("files", files), ("assets", outputs), ("wheels", pins)):
        lines += [f"{title}: {len(names)}", *(f"  {name}" for name in names)]
    return facts, lines


def source_date_epoch(chosen: str, committed: int) -> int:
    """The manifest's epoch: SOURCE_DATE_EPOCH if it is set, else the commit's time; in seconds since 1970."""
    if not chosen:
        return committed
    if not chosen.isascii() or not chosen.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH is {chosen!r}, which is no number of seconds since 1970")
    return int(chosen)

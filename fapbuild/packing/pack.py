"""The main path: a commit becomes an artifact."""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import msgspec

from artifact_store.artifact.ids import ArtifactId, check_version
from artifact_store.artifact.manifest import FORMAT, Builder, Manifest, Platform
from artifact_store.core.errors import UsageError
from artifact_store.core.folders import make_folder
from fapbuild import assets, command, locks
from fapbuild.archive import writer
from fapbuild.archive.members import TarEntry, plan_members
from fapbuild.archive.writer import Artifact
from fapbuild.assets import tools
from fapbuild.cache import Cache, default_folder
from fapbuild.guards.files import check_clean, check_clean_beside, check_files, check_names, check_pushed
from fapbuild.packing import contents, evidence, own_files, step_venv
from fapbuild.packing.step_venv import ArtifactWheels
from fapbuild.project import config, git_tree, platforms, procfile, programs, version
from fapbuild.project.config import Project
from fapbuild.project.git_tree import SourceTree
from fapbuild.report import Reporter, Say
from fapbuild.wheels import bytecode, completeness, credentials, direct, layout
from fapbuild.wheels.builder import WheelBuilder
from fapbuild.wheels.bytecode import Interpreter
from fapbuild.wheels.shared import WheelStore
from fapbuild.wheels.vendor import vendor


@dataclass(frozen=True)
class Request:
    """The options of `fapbuild pack`."""

    root: Path
    """The project's folder, in a git repository."""
    ref: str = ""
    """A commit to pack; empty for HEAD, which the working tree must then match."""
    version: str = ""
    """Empty for the default: the time and name of the commit."""
    output: Path = Path("dist")
    """The folder for the artifact, relative to the current folder."""
    allow_dirty: bool = False
    """Pack the working tree, changes included."""
    allow_unpushed: bool = False
    """Pack a commit that no remote has."""
    target: str = ""
    """The platform (`cp312-manylinux_2_28_x86_64`); empty for the project's setting, else this machine's."""
    wheel_store: str = ""
    """The URL of a store where builders share the wheels they built; empty for none."""


@dataclass(frozen=True)
class BuildInputs:
    """Everything that is read and decided before the first wheel is downloaded."""

    tree: SourceTree
    project: Project
    id: ArtifactId
    files: tuple[TarEntry, ...]
    pins: tuple[locks.Pin, ...]
    manifest: Manifest
    interpreter: Interpreter | None = None
    """The Python that compiles the bytecode of wheels; None if hosts do."""


def pack(request: Request, reporter: Reporter | None = None) -> Artifact:
    """Write `<output>/<app>-<version>.tgz`, with its bill of materials and its provenance beside it.

    Progress goes to `reporter`, or to standard error in plain lines.
    Raises UsageError for mistakes in the project or the request, and FapError if anything fails. Then no
    artifact is written.
    """
    reporter = reporter or Reporter()
    shared = _wheel_store(request.wheel_store) if request.wheel_store else None
    # A program that was stopped may still write a last file there, and that is no error.
    temporary = tempfile.TemporaryDirectory(prefix="fapbuild-", ignore_cleanup_errors=True)
    with credentials.out_of_sight(), temporary as folder:
        work, cache = Path(folder), Cache(default_folder())
        inputs = gather(request, work, reporter.say)
        settings, wheel_folder = inputs.project.settings, work / "wheels"
        wheel_folder.mkdir()
        builder = WheelBuilder(
            inputs.manifest.target,
            cache,
            wheel_folder,
            reporter.say,
            shared,
            settings.pass_env,
            _constraints(inputs),
        )
        with command.in_parallel(3) as pool:
            checking = pool.submit(_check_files, inputs, cache)
            vendoring = pool.submit(_vendor, inputs, builder)
            compiling = pool.submit(
                assets.compile_all,
                settings.assets,
                inputs.tree,
                work / "assets",
                cache,
                step_venv.when_vendored(vendoring, inputs.manifest, work, reporter),
                reporter,
            )
            for job in as_completed((checking, vendoring, compiling)):
                job.result()
            wheels, outputs = vendoring.result(), compiling.result()
        _check_processes(inputs, wheels, outputs, cache, reporter.say)
        # A project without packages that installs itself does not need our installer.
        installer = wheels.installer if wheels.app or settings.installer == "fapkit" else ()
        files = contents.collect(inputs.id, settings, inputs.files, outputs, wheels.app, installer, cache)
        ours = installer if settings.installer == "fapkit" else ()
        manifest = contents.describe(inputs.manifest, files, wheels.app, wheels.least_python, ours)
        members = plan_members([*files, *contents.wheel_entries(wheels.app)])
        _make_output(request.root, request.output)
        what = f"{inputs.id.file_name}: {len(files)} files, {len(wheels.app)} wheels"
        with reporter.task(f"writing {what}", f"wrote {what}"):
            artifact = writer.write(
                members,
                lambda index: msgspec.structs.replace(manifest, members=index),
                request.output / inputs.id.file_name,
                cache,
            )
        bill = evidence.bill_in(files)
        origins = {pin.name: str(pin.origin) for pin in inputs.pins if pin.origin}
        statement = evidence.provenance(artifact, inputs.tree, wheels.app, origins, parameters(request), bill)
        evidence.attach(artifact, bill, statement)
        return artifact


def _wheel_store(url: str) -> WheelStore:
    from artifact_store.blobs.open import open_blobs  # loads slowly, and most packs use no such store

    return WheelStore(open_blobs(url))


def _constraints(inputs: BuildInputs) -> str:
    """The path of the file with constraints of build requirements; UsageError if it is not committed.

    Without one in the settings, pip's own variable counts.
    """
    name = inputs.project.settings.build_constraints
    if not name:
        variable = os.environ.get("PIP_BUILD_CONSTRAINT", "")
        return str(Path(variable).absolute()) if variable and Path(variable).is_file() else ""
    path = (inputs.tree.folder / name).absolute()
    if name and not path.is_file():
        raise UsageError(f"build_constraints: {name} is not committed", hint=f"git add {name}")
    return str(path)


def _check_processes(
    inputs: BuildInputs, wheels: ArtifactWheels, outputs: Sequence[assets.OutputFile], cache: Cache, say: Say
) -> None:
    if inputs.project.settings.installer == "own":  # which may bring programs of its own
        return
    paths = {*(entry.path for entry in inputs.files), *(output.path for output in outputs)}
    scripts, modules = layout.contents(wheels.app, cache)
    for line in programs.check(inputs.manifest.processes, paths, scripts, modules):
        say(f"warning: {line}")


def _check_files(inputs: BuildInputs, cache: Cache) -> None:
    digests = {file.path: file.oid for file in inputs.tree.files}
    check_files(inputs.files, digests, inputs.project.settings, cache)


def _vendor(inputs: BuildInputs, builder: WheelBuilder) -> ArtifactWheels:
    pins = direct.build(inputs.pins, inputs.tree, builder)
    # The installer's own wheels come in the same run: each start of pip takes time.
    wheels = vendor((*pins, *own_files.pins(builder.platform)), builder)
    app = tuple(sorted(wheels[: len(pins)], key=lambda wheel: wheel.file))
    wanted = inputs.project.requires_python
    if inputs.interpreter:
        app = bytecode.compile_all(app, inputs.interpreter, builder.cache)
    least = completeness.check(pins, app, builder.platform, builder.cache, builder.say, wanted)
    if inputs.project.settings.installer == "fapkit":
        allow = inputs.project.settings.allow
        processes = map(programs.started, inputs.manifest.processes.values())
        started = {one.program for one in processes if one}
        layout.check(app, builder.platform, allow, started, builder.cache, builder.say)
    return ArtifactWheels(app, wheels[len(pins) :], least)


def parameters(request: Request) -> dict[str, object]:
    """The options that decide the artifact, for its provenance."""
    return {
        "ref": request.ref or "HEAD",
        "version": request.version,
        "allowDirty": request.allow_dirty,
        "target": request.target,
    }


def _make_output(project: Path, folder: Path) -> None:
    """Make the output folder. In the project, git ignores it, so that no artifact gets into the next one."""
    if not folder.exists() and project.resolve() in folder.resolve().parents:
        make_folder(folder)
        ignore = folder / ".gitignore"
        ignore.touch(0o644)
        ignore.write_text("*\n")


def gather(request: Request, work: Path, say: Say) -> BuildInputs:
    """Read the commit and resolve its lock. The contents of files are checked later, in parallel."""
    if request.version:
        check_version(request.version)
    output = request.output.absolute()
    changed = () if request.ref else git_tree.changes(request.root, output)
    if not request.allow_dirty:
        check_clean(changed)
    tree = git_tree.read(
        request.root, request.ref or "HEAD", work / "tree", with_changes=bool(changed), ignore=output
    )
    # A checkout in CI came from a remote, but often without its branches.
    if not (request.allow_unpushed or tree.dirty or os.environ.get("CI")):
        check_pushed(tree.commit, pushed=git_tree.is_pushed(request.root, tree.commit))
    project = config.load(tree.folder, tree.above)
    settings = project.settings
    files = contents.committed(tree, settings)
    check_names((entry.path for entry in files), own_installer=settings.installer == "own")
    platform = platforms.parse(request.target or settings.target)
    platforms.check_python(project.requires_python, platform)
    interpreter = bytecode.find(platform) if settings.bytecode else None
    tools.check_there(settings.assets, os.environ)
    pins = _pins(request, project, tree, work, platform, say)
    artifact_version = request.version or version.default_version(tree.commit, tree.committed, tree.dirty)
    manifest = Manifest(
        format=FORMAT,
        app=settings.app,
        version=artifact_version,
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
            bytecode=interpreter.release if interpreter else "",
        ),
        processes=procfile.read(tree.folder),
        requires_env=settings.requires_env,
        post_install=settings.post_install,
        wheels=(),
        files=(),
        members=(),
    )
    artifact = ArtifactId(settings.app, artifact_version)
    return BuildInputs(tree, project, artifact, files, pins, manifest, interpreter)


def _pins(
    request: Request, project: Project, tree: SourceTree, work: Path, platform: Platform, say: Say
) -> tuple[locks.Pin, ...]:
    """The pins of the lock; folders beside the project that they name are exported to their places."""
    locks.bring_paths(project, tree)
    pins = locks.resolve(project, tree.folder, work, platforms.marker_environment(platform), say)
    beside = [pin.origin.path for pin in pins if pin.origin and pin.origin.path.startswith("../")]
    if beside and not request.ref:
        check_clean_beside(git_tree.changes(request.root, request.output.absolute(), beside))
    return pins


def dry_run_lines(request: Request, say: Say) -> tuple[dict[str, object], list[str]]:
    """The contents that `pack` would pack: as one object, and as lines for people.

    Nothing is downloaded or written, except that a missing or stale lock is compiled: it decides the wheels.
    """
    with credentials.out_of_sight(), tempfile.TemporaryDirectory(prefix="fapbuild-") as folder:
        inputs = gather(request, Path(folder), say)
        _check_files(inputs, Cache(default_folder()))
    pins = [str(pin) for pin in inputs.pins]
    outputs = [path for step in inputs.project.settings.assets for path in step.outputs]
    files = [entry.path for entry in inputs.files]
    facts: dict[str, object] = {
        "app": inputs.id.app,
        "version": inputs.id.version,
        "path": str(request.output / inputs.id.file_name),
        "commit": inputs.tree.commit,
        "files": files,
        "assets": outputs,
        "wheels": pins,
    }
    lines = [f"would write {request.output / inputs.id.file_name}"]
    for title, names in (("files", files), ("assets", outputs), ("wheels", pins)):
        lines += [f"{title}: {len(names)}", *(f"  {name}" for name in names)]
    return facts, lines


def source_date_epoch(chosen: str, committed: int) -> int:
    """The manifest's epoch in seconds since 1970: SOURCE_DATE_EPOCH if it is set, else the commit's time."""
    if not chosen:
        return committed
    if not chosen.isascii() or not chosen.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH is {chosen!r}, which is not a number of seconds since 1970")
    return int(chosen)

"""What steps made, kept in the build cache as tars, by all that decides it."""

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from artifact_store.artifact.manifest import MTIME
from fapbuild.assets.folder import Given, Output
from fapbuild.cache import Cache, Kept
from fapbuild.project.config import Assets
from fapbuild.project.git_tree import LINK, mode_of

_FORMAT = "assets 1"


def question(step: Assets, inputs: Mapping[str, Given], tools: Sequence[str], packages: str) -> str:
    """The name of what the step will make: commands, inputs, versions of tools, packages of its venv.

    Values of `pass_env` don't count: they are credentials, new for each run of a CI.
    """
    facts = [
        _FORMAT,
        list(step.run),
        list(step.outputs),
        step.directory,
        sorted(step.environment.items()),
        list(step.pass_env),
        list(tools),
        packages,
        [[path, file.mode, file.digest] for path, file in sorted(inputs.items())],
    ]
    return f"{_FORMAT} {hashlib.sha256(json.dumps(facts).encode('utf-8')).hexdigest()}"


def keep(cache: Cache, name: str, step: str, made: Sequence[Output], work: Path) -> Kept:
    """Keep the outputs under the question `name`; if another build was faster, what counts is its answer."""
    path = work / "outputs.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for output in made:
            tar.add(output.source, output.path, recursive=False, filter=_plain)
    return cache.record("assets", name, Kept(f"{step}.tar", cache.keep(path)))


def unpack(path: Path, into: Path) -> tuple[Output, ...]:
    """Unpack kept outputs to the new folder `into`."""
    into.mkdir()
    found = []
    with tarfile.open(path) as tar:
        for entry in tar:
            options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extract(entry, into, **options)  # type: ignore[arg-type]
            source = into / entry.name
            mode = mode_of(source, entry.name)
            found.append(Output(entry.name, mode, 0 if mode == LINK else source.stat().st_size, source))
    return tuple(found)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = MTIME
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry

"""The outputs of steps in the build cache: as tars, by everything that decides them."""

import hashlib
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from artifact_store.artifact.manifest import MTIME
from fapbuild.assets.folder import InputFile, OutputFile, leftovers
from fapbuild.cache import Cache, CachedFile
from fapbuild.project.config import Assets
from fapbuild.project.git_tree import LINK, mode_of

_FORMAT = "assets 1"


def question(step: Assets, inputs: Mapping[str, InputFile], tools: Sequence[str], packages: str) -> str:
    """Everything that decides a step's outputs: commands, inputs, versions of tools, packages of its venv.

    Values of `pass_env` are left out: they are credentials, new for each CI run.
    """
    facts = [
        _FORMAT,
        list(step.run),
        list(step.outputs or leftovers(step)),
        step.directory,
        sorted(step.environment.items()),
        list(step.pass_env),
        list(tools),
        packages,
        [[path, file.mode, file.digest] for path, file in sorted(inputs.items())],
    ]
    return f"{_FORMAT} {hashlib.sha256(json.dumps(facts).encode('utf-8')).hexdigest()}"


def add(cache: Cache, question: str, step: str, outputs: Sequence[OutputFile], work: Path) -> CachedFile:
    """Record the outputs as the answer to `question`; if another build was faster, return its answer."""
    path = work / "outputs.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for output in outputs:
            tar.add(output.source, output.path, recursive=False, filter=_plain)
    return cache.record("assets", question, CachedFile(f"{step}.tar", cache.add(path)))


def unpack(path: Path, into: Path) -> tuple[OutputFile, ...]:
    """Unpack cached outputs into the new folder `into`."""
    into.mkdir()
    outputs = []
    with tarfile.open(path) as tar:
        for entry in tar:
            options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            tar.extract(entry, into, **options)  # type: ignore[arg-type]
            source = into / entry.name
            mode = mode_of(source, entry.name)
            outputs.append(OutputFile(entry.name, mode, 0 if mode == LINK else source.stat().st_size, source))
    return tuple(outputs)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime = MTIME
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry

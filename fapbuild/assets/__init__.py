"""Asset steps: each runs in its own folder with the files it names, and its outputs are packed.

The outputs of a step are cached by everything that decides them, so a commit that changes none of its inputs
compiles nothing.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from artifact_store.artifact.manifest import MTIME
from artifact_store.core.errors import FapError
from fapbuild import command, isolation
from fapbuild.assets import folder, output_cache, tools
from fapbuild.assets.folder import InputFile, OutputFile
from fapbuild.cache import Cache
from fapbuild.isolation.variables import of_steps
from fapbuild.project.config import Assets
from fapbuild.project.git_tree import SourceTree
from fapbuild.project.patterns import matcher
from fapbuild.report import OnLine, Reporter

__all__ = ["OutputFile", "compile_all"]


@dataclass(frozen=True)
class StepVenv:
    """A venv with the vendored wheels."""

    digest: str
    """A digest of everything that decides its contents."""
    make: Callable[[], Path]
    """Returns its folder; called only if a step has to run."""


def compile_all(
    steps: Sequence[Assets],
    tree: SourceTree,
    work: Path,
    cache: Cache,
    venv: Callable[[], StepVenv],
    reporter: Reporter,
) -> tuple[OutputFile, ...]:
    """Run the steps one after the other in folders of the new folder `work`, and return their outputs.

    A step sees the committed files that it names as inputs (all, if it names none), and the outputs of the
    steps before it. If it names no outputs, these are all files that it wrote. `venv` is called when the
    first step needs one.

    Raises FapError if a command fails, a declared output is missing, or anything else was written.
    """
    if not steps:
        return ()
    work.mkdir()
    files = {
        file.path: InputFile(file.mode, file.oid, tree.folder / file.path)
        for file in tree.files
        if file.path not in tree.filtered
    }
    outputs: dict[str, OutputFile] = {}
    for number, step in enumerate(steps):
        place = work / str(number)
        place.mkdir()
        for output in _compile(step, files, place, cache, venv, reporter):
            outputs[output.path] = output
            files[output.path] = InputFile(output.mode, output.digest, output.source)
    return tuple(outputs[path] for path in sorted(outputs))


def environment(step: Assets, environ: Mapping[str, str], place: Path, caches: Path) -> dict[str, str]:
    """The variables of a step: its own, and those of `environ` that it needs.

    HOME and TMPDIR are new folders in `place`; package managers keep their downloads in `caches`.
    Raises UsageError if a variable of `pass_env` is not set.
    """
    passed = of_steps(environ, step.name, step.pass_env)
    return {
        # The same time for all commits: the outputs of a step must follow from its inputs alone.
        "SOURCE_DATE_EPOCH": str(MTIME),
        "PYTHONDONTWRITEBYTECODE": "1",
        "XDG_CACHE_HOME": str(caches),
        "npm_config_cache": str(caches / "npm"),
        **passed,
        "HOME": str(place / "home"),
        "TMPDIR": str(place / "tmp"),
        **{name: environ[name] for name in step.pass_env},
        **step.environment,
    }


def _compile(
    step: Assets,
    files: Mapping[str, InputFile],
    place: Path,
    cache: Cache,
    venv: Callable[[], StepVenv],
    reporter: Reporter,
) -> tuple[OutputFile, ...]:
    if step.directory != "." and not any(path.startswith(f"{step.directory.rstrip('/')}/") for path in files):
        raise FapError(f"assets {step.name!r}: the folder {step.directory} is not committed")
    is_input = matcher(step.inputs)
    inputs = {path: file for path, file in files.items() if not step.inputs or is_input(path)}
    if not inputs:
        raise FapError(
            f"assets {step.name!r}: no committed file matches its inputs",
            hint="inputs are patterns as in .gitignore, relative to the project's folder",
        )
    for name in ("home", "tmp"):
        (place / name).mkdir()
    env = environment(step, os.environ, place, cache.folder.absolute() / "tools")
    packages = venv() if step.venv else None
    question = output_cache.question(
        step, inputs, tools.identities(step, env, place), packages.digest if packages else ""
    )
    if (answer := cache.answer("assets", question)) is None:
        if packages:
            home = packages.make()
            env = {**env, "VIRTUAL_ENV": str(home), "PATH": f"{home / 'bin'}{os.pathsep}{env['PATH']}"}
        isolation.warn(reporter.say)
        with reporter.task(f"compiling {step.name}", f"compiled {step.name}") as on_line:
            outputs = _run(step, inputs, place, env, on_line)
        answer = output_cache.add(cache, question, step.name, outputs, place)
    else:
        reporter.say(f"assets {step.name}: unchanged")
    made = output_cache.unpack(cache.path(answer.sha256), place / "outputs")
    if not made:
        reporter.say(
            f"warning: assets {step.name}: it wrote nothing in the project's folder, so nothing is packed"
        )
    elif not step.outputs:
        where = folder.shared_folder([output.path for output in made])
        reporter.say(f"assets {step.name}: its {len(made)} files are packed, most of them in {where}")
    return made


def _run(
    step: Assets, inputs: Mapping[str, InputFile], place: Path, env: dict[str, str], on_line: OnLine
) -> tuple[OutputFile, ...]:
    root = place / "tree"
    before = folder.fill(root, inputs)
    inside = root / step.directory
    inside.mkdir(parents=True, exist_ok=True)
    start = isolation.contained(env, network=step.network)
    for line in step.run:
        on_line(f"$ {line}")
        try:
            command.stream(line, start=start, cwd=inside, env=env, on_line=on_line)
        except FapError as error:
            missing = "failed with exit code 127" in error.message
            raise FapError(
                f"assets {step.name!r}: {error.message}",
                hint=f"install the program that {line!r} starts; it has to be on the PATH of fapbuild"
                if missing
                else "it ran in a copy of the committed files, with an empty HOME and few variables; check "
                "that everything it needs is committed, and listed in inputs and pass_env",
            ) from error
    if not step.outputs:
        return folder.collect_written(root, before, inputs, step)
    folder.check(root, before, inputs, step)
    return folder.collect(root, step)

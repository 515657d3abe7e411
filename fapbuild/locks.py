"""The project's lock: exact versions with the hashes of every file that may be installed for them."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from artifact_store.errors import UsageError
from fapbuild import command
from fapbuild.config import PYPROJECT, Project
from fapbuild.sources import read_text

_HASH = re.compile(r"--hash[=\s]sha256:([0-9a-f]{64})\b")
_COMMENT = re.compile(r"(^|\s)#.*$")
_HINT = "fapbuild lock"


@dataclass(frozen=True, order=True)
class Pin:
    """One locked package; `sha256s` are the files that may be used for it."""

    name: str
    version: str
    extras: frozenset[str]
    sha256s: frozenset[str]


def resolve(project: Project, folder: Path, work: Path, say: Callable[[str], None]) -> tuple[Pin, ...]:
    """The lock of the project in `folder`; a missing or stale one is compiled in `work` and not kept.

    Raises UsageError for a lock or requirements that can't be read, FapError if compiling fails.
    """
    wanted = requirements(project, folder)
    name = project.settings.lock
    if (folder / name).is_file():
        pins = parse_lock(read_text(folder, name), name)
        reason = stale(wanted, pins)
        if not reason:
            return pins
        reason = f"{name} is stale: {reason}"
    elif wanted:
        reason = f"{name} is not committed"
    else:
        return ()
    say(f"warning: {reason}; locking for this build alone, and the next one may get other versions")
    say(f"hint: fapbuild lock, and commit {name}")
    return parse_lock(compile_lock(project, folder, work), name)


def write(project: Project, folder: Path) -> Path:
    """`fapbuild lock`: compile the lock and put it in its place; returns its path.

    Versions that the lock has already are kept where they still fit.
    """
    if not project.settings.requirements and not project.dependencies:
        raise UsageError(
            "there is nothing to lock: no requirements.in, and no project.dependencies in pyproject.toml",
            hint="write the names of what you import, one a line, to requirements.in",
        )
    path = folder / project.settings.lock
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as work:
        text = compile_lock(project, folder, Path(work))
    parse_lock(text, project.settings.lock)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def compile_lock(project: Project, folder: Path, work: Path) -> str:
    """Run pip-compile on the project's requirements and return the lock it makes."""
    output = work / "lock.txt"
    current = folder / project.settings.lock
    if current.is_file():
        shutil.copyfile(current, output)
    source = project.settings.requirements
    if not source:
        source = str(work / "pyproject.in")
        Path(source).write_text("".join(f"{line}\n" for line in project.dependencies), encoding="utf-8")
    argv = [sys.executable, "-m", "piptools", "compile", "--quiet", "--no-config", "--generate-hashes"]
    argv += ["--allow-unsafe", "--no-strip-extras", "--no-emit-index-url", "--no-emit-find-links"]
    argv += ["--no-emit-trusted-host", "--resolver=backtracking", "--newline=lf"]
    command.run(
        [*argv, f"--output-file={output}", source],
        cwd=folder,
        env={"CUSTOM_COMPILE_COMMAND": "fapbuild lock"},
        hint="mend the requirements named above, then: fapbuild lock",
    )
    return output.read_text(encoding="utf-8").replace(f"-r {work / 'pyproject.in'}", PYPROJECT)


def requirements(project: Project, folder: Path) -> tuple[Requirement, ...]:
    """What the project asks for: its requirements file and those it includes, or `[project.dependencies]`."""
    if project.settings.requirements:
        return tuple(_read(folder, project.settings.requirements, ()))
    return tuple(_requirement(line, PYPROJECT) for line in project.dependencies)


def stale(wanted: Sequence[Requirement], pins: Sequence[Pin]) -> str:
    """Why the lock no longer answers what is wanted here (`flask>=3 is not in it`), or an empty string."""
    by_name = {pin.name: pin for pin in pins}
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        pin = by_name.get(canonicalize_name(requirement.name))
        if pin is None:
            return f"{requirement} is not in it"
        if not requirement.specifier.contains(pin.version, prereleases=True):
            return f"it has {pin.name} {pin.version}, and {requirement} is wanted"
        if missing := {canonicalize_name(extra) for extra in requirement.extras} - pin.extras:
            return f"it has {pin.name} without [{', '.join(sorted(missing))}]"
    return ""


def parse_lock(text: str, name: str) -> tuple[Pin, ...]:
    """The pins that hold for this interpreter, sorted by name.

    Raises UsageError, naming file and line, for anything but `name==version --hash=sha256:…`.
    """
    pins = []
    for number, line in _logical_lines(text):
        if line.startswith("-"):
            continue
        where = f"{name} line {number}"
        requirement = _requirement(re.split(r"\s--hash", line)[0], where)
        hashes = frozenset(_HASH.findall(line))
        specifiers = list(requirement.specifier)
        exact = len(specifiers) == 1 and specifiers[0].operator in ("==", "===")
        if not exact or specifiers[0].version.endswith(".*") or not hashes:
            raise UsageError(
                f"{where}: {requirement} is not pinned with == and --hash=sha256:…",
                hint=f"write what you want to requirements.in, then: {_HINT}",
            )
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
        pins.append(Pin(canonicalize_name(requirement.name), specifiers[0].version, extras, hashes))
    twice = {pin.name for pin in pins if sum(pin.name == other.name for other in pins) > 1}
    if twice:
        raise UsageError(f"{name} pins {sorted(twice)[0]} more than once", hint=f"run: {_HINT}")
    return tuple(sorted(pins, key=lambda pin: pin.name))


def _read(folder: Path, name: str, above: tuple[str, ...]) -> list[Requirement]:
    found = []
    for number, line in _logical_lines(read_text(folder, name)):
        where = f"{name} line {number}"
        if match := re.fullmatch(r"(?:-r|--requirement)[\s=]*(.+)", line):
            other = os.path.normpath(Path(name).parent / match[1].strip())
            if other in (*above, name):
                raise UsageError(f"{where}: {other} includes itself")
            found += _read(folder, other, (*above, name))
        elif re.match(r"(-e|--editable)\b", line):
            raise UsageError(
                f"{where}: an editable requirement can't be vendored",
                hint="commit the code to this project, or publish it as a package",
            )
        elif not line.startswith("-"):
            found.append(_requirement(line, where))
    return found


def _requirement(line: str, where: str) -> Requirement:
    try:
        requirement = Requirement(line.strip())
    except InvalidRequirement as error:
        raise UsageError(f"{where}: {line.strip()!r} is not a requirement: {error}") from error
    if requirement.url:
        raise UsageError(
            f"{where}: {requirement.name} comes from a URL, which a hashed lock can't hold",
            hint="publish it as a package on an index of yours (PIP_EXTRA_INDEX_URL)",
        )
    return requirement


def _logical_lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    start, held = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        start = start or number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        if whole := (held + line).strip():
            lines.append((start, whole))
        start, held = 0, ""
    if held.strip():
        lines.append((start, held.strip()))
    return lines

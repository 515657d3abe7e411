"""`fapbuild init`: writes settings that pack a project as it is, from what was detected in it."""

import json
import posixpath
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

from artifact_store.core import toml_text
from artifact_store.core.errors import UsageError
from fapbuild.onboarding.detection import Detection, Django, parsed
from fapbuild.project.config import OWN_FILE, PYPROJECT, subtable

_WIDTH = 90


def render(project: Detection, prefix: str) -> str:
    """The settings as TOML, with comments on choices; `prefix` is `tool.fapbuild` or empty."""
    lines = (
        [f"[{prefix}]"]
        if prefix
        else ["# Settings of fapbuild. All keys are described in docs/fapbuild.toml of fapkit."]
    )
    if not (prefix and project.has_name):
        lines.append(f"app = {_quoted(project.app)}")
    if project.requirements:
        lines.append(f"requirements = {_quoted(project.requirements)}")
    if project.lock:
        comment = "" if project.has_lock else "  # written by: fapbuild lock"
        lines.append(f"lock = {_quoted(project.lock)}{comment}")
    if project.lock and not project.requirements:
        lines += [
            f"# {key} = {_list(names[:1])}  # available: {', '.join(names)}"
            for key, names in (("extras", project.extras), ("groups", project.groups))
            if names
        ]
    if project.package:
        lines.append("package = true  # the project itself is installed, with its commands and its version")
    if project.exclude or project.left_out:
        reasons = [*["names that are reserved in an artifact"] * bool(project.exclude)]
        reasons += ["files that .dockerignore leaves out, and fake secrets of tests"] * bool(project.left_out)
        lines.append(f"# {'; '.join(reasons)}")
        lines.append(f"exclude = {_list((*project.exclude, *project.left_out))}")
    table = f"[[{prefix}.assets]]" if prefix else "[[assets]]"
    for frontend in project.frontends:
        lines += ["", table, f"name = {_quoted(frontend.name or 'frontend')}"]
        if frontend.directory != ".":
            lines.append(f"directory = {_quoted(frontend.directory)}")
        lines.append(f"run = {_list(frontend.run)}")
        lines.append("# everything that the build writes; `fapbuild pack` shows what is missing here")
        lines.append(f"outputs = {_list(frontend.outputs)}")
    if project.django and project.django.static_root:
        lines += ["", table, *_collectstatic(project.django, project.left_out)]
    return "\n".join(lines) + "\n"


def _collectstatic(django: Django, left_out: Sequence[str]) -> list[str]:
    lines = ['name = "static"', "venv = true"]
    if django.directory != ".":
        lines.append(f"directory = {_quoted(django.directory)}")
    if modules := [path for path in left_out if path.endswith(".py")]:
        lines.append(f"inputs = {_list(['*', *(f'!{path}' for path in modules)])}")
    folders = [f"mkdir -p {shlex.join(django.data)}"] if django.data else []
    lines.append(f"run = {_list([*folders, 'python manage.py collectstatic --noinput'])}")
    lines.append('# environment = {SECRET_KEY = "only-for-the-build"}  # if the settings need variables')
    if django.data:
        places = [posixpath.normpath(f"{django.directory}/{path}") for path in django.data]
        lines.append("# the settings expect files there; on hosts, use linked_dirs of deploy.yml")
        lines.append(f"scratch = {_list([f'/{place}/' for place in places])}")
    return [*lines, f"outputs = {_list([django.static_root])}"]


def write(folder: Path, project: Detection) -> Path:
    """Append the settings to pyproject.toml if there is one, or else write fapbuild.toml; return its path.

    Raises UsageError if the project already has settings.
    """
    own, pyproject = folder / OWN_FILE, folder / PYPROJECT
    if own.exists():
        raise UsageError(
            f"{OWN_FILE} already exists", hint="edit it; or delete it, then run `fapbuild init` again"
        )
    if not pyproject.is_file():
        return _create(own, render(project, ""))
    before = pyproject.read_text(encoding="utf-8")
    if "fapbuild" in subtable(parsed(before), "tool"):
        raise UsageError(
            f"{PYPROJECT} already has [tool.fapbuild]",
            hint="edit it; or delete it, then run `fapbuild init` again",
        )
    after = f"{before.rstrip()}\n\n{render(project, 'tool.fapbuild')}"
    try:
        toml_text.loads(after)
    except tomllib.TOMLDecodeError:
        # `tool` may be written in a form that can't be extended, such as an inline table.
        return _create(own, render(project, ""))
    temporary = pyproject.with_name(f".{PYPROJECT}.new")
    temporary.write_text(after, encoding="utf-8")
    temporary.chmod(pyproject.stat().st_mode & 0o777)
    temporary.replace(pyproject)
    return pyproject


def summary(project: Detection, file: str) -> list[str]:
    """Lines for people: what was detected, and what to type next."""
    lines = [f"dependencies: {_dependencies(project)}"]
    for frontend in project.frontends:
        how = "" if frontend.locked else " (no lock file: builds may differ)"
        lines.append(f"front end: {posixpath.normpath(f'{frontend.directory}/package.json')}{how}")
    if project.django:
        manage = posixpath.normpath(f"{project.django.directory}/manage.py")
        static = (
            f"collectstatic to {project.django.static_root}"
            if project.django.static_root
            else "no STATIC_ROOT found; if it serves static files, add a step that runs collectstatic"
        )
        lines.append(f"Django: {manage}, {static}")
    lines.append(f"processes: {'Procfile' if project.has_procfile else 'none (no Procfile)'}")
    if project.python:
        lines.append(f"Python: {project.python}; pack with such a version, or set target")
    steps = [] if project.has_lock or not project.lock else ["fapbuild lock"]
    if not project.has_procfile:
        lines += _unsure(project)
        if project.web:
            processes = {"web": project.web.command, **project.workers.processes}
            lines_of_file = "".join(f"{name}: {command}\\n" for name, command in processes.items())
            steps.append(f"printf '{lines_of_file}' > Procfile")
    added = [
        file,
        *([project.lock] if "fapbuild lock" in steps else []),
        *(["Procfile"] if project.web and not project.has_procfile else []),
    ]
    steps += [f"git add {' '.join(added)} && git commit -m 'Pack with fapbuild'", "fapbuild pack"]
    return [*lines, "check the settings, then run:", *(f"  {step}" for step in steps)]


def _unsure(project: Detection) -> list[str]:
    """What a person has to do before the processes can be written."""
    return [
        *_unsure_web(project),
        *(
            f"worker: {queue} is among the packages, but how its worker starts was not found; write it to "
            "the Procfile as: worker: COMMAND"
            for queue in project.workers.unsure
        ),
    ]


def _unsure_web(project: Detection) -> list[str]:
    if project.web and project.web.selected:
        return []
    if project.web:
        where = project.requirements or (PYPROJECT if not project.lock or project.has_lock else project.lock)
        return [f"web server: none among the packages; add {project.web.package} to {where}, and lock again"]
    maybe = f" (it may be one of: {', '.join(project.candidates)})" if project.candidates else ""
    return [f"web process: not sure what it is{maybe}; write it to the Procfile as: web: COMMAND"]


def _dependencies(project: Detection) -> str:
    if not project.lock:
        return "none found; list them in requirements.in, then run `fapbuild lock`"
    source = project.requirements or ("" if project.has_lock else project.source)
    locked = f"locked in {project.lock}" if project.has_lock else f"to be locked in {project.lock}"
    return f"{source}, {locked}" if source else locked


def _quoted(text: str) -> str:
    """A TOML basic string; its escapes are a superset of JSON's."""
    return json.dumps(text)


def _list(names: Sequence[str]) -> str:
    line = f"[{', '.join(map(_quoted, names))}]"
    return line if len(line) < _WIDTH else "[\n" + "".join(f"    {_quoted(name)},\n" for name in names) + "]"


def _create(path: Path, text: str) -> Path:
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path

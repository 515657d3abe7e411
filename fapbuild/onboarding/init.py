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
from fapbuild.onboarding.server_package import with_group
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
        chosen = project.addition
        for key, names, one in (
            ("extras", project.extras, chosen.extra if chosen else ""),
            ("groups", project.groups, chosen.group if chosen else ""),
        ):
            if one:
                lines.append(f"{key} = {_list([one])}  # the web server")
            elif names:
                lines.append(f"# {key} = {_list(names[:1])}  # available: {', '.join(names)}")
    if project.package:
        lines.append("package = true  # the project itself is installed, with its commands and its version")
    if project.target:
        lines.append(
            "# the oldest Python of the hosts: this machine's system has it, and fapbuild a newer one"
        )
        lines.append(f"target = {_quoted(project.target)}")
    if project.exclude or project.left_out:
        reasons = [*["names that are reserved in an artifact"] * bool(project.exclude)]
        reasons += [
            "files that .dockerignore leaves out; in tests and docs, what looks like secrets, and same names"
        ] * bool(project.left_out)
        lines.append(f"# {'; '.join(reasons)}")
        lines.append(f"exclude = {_list((*project.exclude, *project.left_out))}")
    table = f"[[{prefix}.assets]]" if prefix else "[[assets]]"
    for frontend in project.frontends:
        if frontend.committed or frontend.no_step:
            continue
        lines += ["", table, f"name = {_quoted(frontend.name or 'frontend')}"]
        if frontend.directory != ".":
            lines.append(f"directory = {_quoted(frontend.directory)}")
        lines.append(f"run = {_list(frontend.run)}")
        if frontend.outputs:
            lines.append("# everything that the build writes; `fapbuild pack` shows what is missing here")
            lines.append(f"outputs = {_list(frontend.outputs)}")
        else:
            lines.append("# outputs = [...]  # without it, all files that the build writes are packed")
    if project.django and project.django.collects:
        lines += ["", table, *_collectstatic(project.django, project.left_out)]
    return "\n".join(lines) + "\n"


def _collectstatic(django: Django, left_out: Sequence[str]) -> list[str]:
    lines = ['name = "static"', "venv = true"]
    if django.directory != ".":
        lines.append(f"directory = {_quoted(django.directory)}")
    if modules := [path for path in left_out if path.endswith(".py")]:
        lines.append(f"inputs = {_list(['*', *(f'!{path}' for path in modules)])}")
    folders = [f"mkdir -p {shlex.join(django.data)}"] if django.data else []
    commands = ["python manage.py collectstatic --noinput"]
    commands += ["python manage.py compress --force"] * django.compresses
    lines.append(f"run = {_list([*folders, *commands])}")
    if django.variables:
        values = ", ".join(f"{name} = {_quoted(value)}" for name, value in django.variables)
        lines.append(f"environment = {{{values}}}  # the settings need them to load")
    else:
        lines.append('# environment = {SECRET_KEY = "only-for-the-build"}  # if the settings need variables')
    if scratch := [*(f"{path}/" for path in django.data), *django.files]:
        above = "" if django.directory == "." else f"{django.directory}/"
        lines.append("# the settings expect files there; on hosts, use linked_dirs of deploy.yml")
        lines.append(f"scratch = {_list([f'/{above}{path}' for path in scratch])}")
    if not django.static_root:
        return [
            *lines,
            "# outputs = [...]  # without it, all files that the step writes are packed",
        ]
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
    if project.addition and project.addition.package:
        before = with_group(before, project.addition.package)
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


def summary(project: Detection, file: str, stale: str = "") -> list[str]:
    """Lines for people: what was detected, and what to type next; `stale` says why its lock can't be used."""
    lines = [f"dependencies: {_dependencies(project)}"]
    for frontend in project.frontends:
        how = "" if frontend.locked else " (no lock file: builds may differ)"
        if frontend.committed:
            how = f" (no step: what it builds is committed in {frontend.committed})"
        elif frontend.no_step:
            how = f" (no step: {frontend.no_step})"
        lines.append(f"front end: {posixpath.normpath(f'{frontend.directory}/package.json')}{how}")
    if project.django:
        manage = posixpath.normpath(f"{project.django.directory}/manage.py")
        static = (
            f"collectstatic to {project.django.static_root or 'the STATIC_ROOT of its settings'}"
            if project.django.collects
            else "no STATIC_ROOT found; if it serves static files, add a step that runs collectstatic"
        )
        lines.append(f"Django: {manage}, {static}")
        if settings := dict(project.django.variables).get("DJANGO_SETTINGS_MODULE"):
            lines.append(f"Django's settings: {settings}; set DJANGO_SETTINGS_MODULE on hosts, too")
    lines.append(f"processes: {'Procfile' if project.has_procfile else 'none (no Procfile)'}")
    if project.python:
        lines.append(f"Python: {project.python}; pack with such a version, or set target")
    if project.target:
        lines.append(f"target: {project.target}, as this machine's system has that Python")
    added = project.addition if not project.has_procfile else None
    steps = [*added.steps] if added else []
    lines += [f"lock: {stale}"] if stale else []
    if project.lock and (stale or not project.has_lock) and "fapbuild lock" not in steps:
        steps.append("fapbuild lock")
    locked = "fapbuild lock" in steps
    if not project.has_procfile:
        lines += _unsure(project)
        if processes := _processes(project):
            lines_of_file = "".join(f"{name}: {command}\\n" for name, command in processes.items())
            steps.append(f"printf '{lines_of_file}' > Procfile")
    files = [
        file,
        *(added.files if added else []),
        *([project.lock] if locked else []),
        *(["Procfile"] if _processes(project) and not project.has_procfile else []),
    ]
    names = " ".join(dict.fromkeys(files))
    steps += [f"git add {names} && git commit -m 'Pack with fapbuild'", "fapbuild pack"]
    return [*lines, "check the settings, then run:", *(f"  {step}" for step in steps)]


def _processes(project: Detection) -> dict[str, str]:
    """The commands for a new Procfile; none while a web application is there whose command is not sure."""
    if project.web:
        return {"web": project.web.command, **project.workers.processes}
    return {} if project.applications else project.workers.processes


def _unsure(project: Detection) -> list[str]:
    """What a person has to do before the processes can be written."""
    return [
        *_unsure_web(project),
        *(
            f"worker: {queue} is among the packages, but how its worker starts was not found; write it to "
            "the Procfile as: worker: COMMAND"
            for queue in project.workers.unsure
        ),
        *(
            f"periodic tasks: a worker does not start them; on one host, run: {command}"
            for command in filter(None, [project.workers.beat])
        ),
    ]


def _unsure_web(project: Detection) -> list[str]:
    if project.web and project.web.selected:
        return []
    if project.web:
        one, package = project.addition, project.web.package
        if one and (one.extra or one.group):
            kind, name = ("extra", one.extra) if one.extra else ("group", one.group)
            return [f"web server: {package}, by the {kind} {name} that the settings select"]
        how = "the first step adds" if one else "add"
        return [f"web server: none among the packages; {how} {package}{'' if one else ', and lock again'}"]
    if _processes(project):
        return ["web process: none found; if there is one, write it to the Procfile as: web: COMMAND"]
    candidates = (*project.applications, *project.commands)
    maybe = f" (it may be one of: {', '.join(candidates)})" if candidates else ""
    other = "" if project.applications else "; or, if it serves no port, as: worker: COMMAND"
    return [f"web process: not sure what it is{maybe}; write it to the Procfile as: web: COMMAND{other}"]


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

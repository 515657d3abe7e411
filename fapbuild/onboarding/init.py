"""`fapbuild init`: the settings that pack a project as it is, from what was seen in it."""

import json
import posixpath
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

from artifact_store.core.errors import UsageError
from fapbuild.onboarding.detection import SERVERS, Django, Seen, parsed, subtable
from fapbuild.project.config import OWN_FILE, PYPROJECT

_WIDTH = 90


def render(seen: Seen, prefix: str) -> str:
    """The settings as TOML, with a comment on what may be changed; `prefix` is `tool.fapbuild` or empty."""
    lines = [f"[{prefix}]"] if prefix else ["# What fapbuild packs. Every key: docs/fapbuild.toml of fapkit."]
    if not (prefix and seen.app_is_named):
        lines.append(f"app = {_quoted(seen.app)}")
    if seen.requirements:
        lines.append(f"requirements = {_quoted(seen.requirements)}")
    if seen.lock:
        made = "" if seen.lock_is_there else "  # made by: fapbuild lock"
        lines.append(f"lock = {_quoted(seen.lock)}{made}")
    if seen.lock and not seen.requirements:
        lines += [
            f"# {key} = {_list(names[:1])}  # there are: {', '.join(names)}"
            for key, names in (("extras", seen.extras), ("groups", seen.groups))
            if names
        ]
    if seen.package:
        lines.append("package = true  # src layout: the project is installed, too")
    if seen.exclude or seen.left_out:
        why = [*["names that an artifact needs for itself"] * bool(seen.exclude)]
        why += ["what .dockerignore leaves out, and made-up secrets of tests"] * bool(seen.left_out)
        lines.append(f"# {'; '.join(why)}")
        lines.append(f"exclude = {_list((*seen.exclude, *seen.left_out))}")
    table = f"[[{prefix}.assets]]" if prefix else "[[assets]]"
    for frontend in seen.frontends:
        where = posixpath.basename(frontend.directory)
        lines += ["", table, f"name = {_quoted(where if where != '.' else 'frontend')}"]
        if frontend.directory != ".":
            lines.append(f"directory = {_quoted(frontend.directory)}")
        lines.append(f"run = {_list(frontend.run)}")
        lines.append("# what the build writes; pack names what is missing here")
        lines.append(f"outputs = {_list(frontend.outputs)}")
    if seen.django and seen.django.static_root:
        lines += ["", table, *_collectstatic(seen.django, seen.left_out)]
    return "\n".join(lines) + "\n"


def _collectstatic(django: Django, left_out: Sequence[str]) -> list[str]:
    lines = ['name = "static"', "venv = true"]
    if django.directory != ".":
        lines.append(f"directory = {_quoted(django.directory)}")
    if modules := [path for path in left_out if path.endswith(".py")]:
        lines.append(f"inputs = {_list(['*', *(f'!{path}' for path in modules)])}")
    made = [f"mkdir -p {shlex.join(django.data)}"] if django.data else []
    lines.append(f"run = {_list([*made, 'python manage.py collectstatic --noinput'])}")
    lines.append('# environment = {SECRET_KEY = "only-for-the-build"}  # if the settings need some to load')
    if django.data:
        places = [posixpath.normpath(f"{django.directory}/{path}") for path in django.data]
        lines.append("# the settings look for files there; on hosts: linked_dirs of deploy.yml")
        lines.append(f"scratch = {_list([f'/{place}/' for place in places])}")
    return [*lines, f"outputs = {_list([django.static_root])}"]


def write(folder: Path, seen: Seen) -> Path:
    """Append the settings to pyproject.toml if there is one, else write fapbuild.toml; returns which.

    Raises UsageError if the project has settings already.
    """
    own, pyproject = folder / OWN_FILE, folder / PYPROJECT
    if own.exists():
        raise UsageError(
            f"{OWN_FILE} is there already", hint="edit it, or delete it first; then: fapbuild pack"
        )
    if not pyproject.is_file():
        return _create(own, render(seen, ""))
    before = pyproject.read_text(encoding="utf-8")
    if "fapbuild" in subtable(parsed(before), "tool"):
        raise UsageError(
            f"[tool.fapbuild] is in {PYPROJECT} already",
            hint="edit it, or delete it first; then: fapbuild pack",
        )
    after = f"{before.rstrip()}\n\n{render(seen, 'tool.fapbuild')}"
    try:
        tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        # `tool` may be written in a way that can't be added to.
        return _create(own, render(seen, ""))
    temporary = pyproject.with_name(f".{PYPROJECT}.new")
    temporary.write_text(after, encoding="utf-8")
    temporary.chmod(pyproject.stat().st_mode & 0o777)
    temporary.replace(pyproject)
    return pyproject


def told(seen: Seen, file: str) -> list[str]:
    """For people: what was seen, and what to type next."""
    lines = [f"dependencies: {_of_dependencies(seen)}"]
    for frontend in seen.frontends:
        how = "" if frontend.locked else " (no lock file: builds may differ)"
        lines.append(f"front end: {posixpath.normpath(f'{frontend.directory}/package.json')}{how}")
    if seen.django:
        where = posixpath.normpath(f"{seen.django.directory}/manage.py")
        found = (
            f"collectstatic to {seen.django.static_root}"
            if seen.django.static_root
            else "no STATIC_ROOT found"
        )
        lines.append(f"Django: {where}, {found}")
    lines.append(f"processes: {'Procfile' if seen.procfile else 'none, there is no Procfile'}")
    if seen.python:
        lines.append(f"Python: {seen.python}; pack with such a one, or set target")
    steps = [] if seen.lock_is_there or not seen.lock else ["fapbuild lock"]
    if not seen.procfile:
        steps.append(f"printf 'web: {_served(seen)}\\n' > Procfile")
    added = [
        file,
        *([seen.lock] if "fapbuild lock" in steps else []),
        *([] if seen.procfile else ["Procfile"]),
    ]
    steps += [f"git add {' '.join(added)} && git commit -m 'Pack with fapbuild'", "fapbuild pack"]
    return [*lines, "look it over, then:", *(f"  {step}" for step in steps)]


def _served(seen: Seen) -> str:
    """The command of the web process."""
    folder, server = seen.django.directory if seen.django else ".", SERVERS[seen.server]
    inside = folder.replace("/", ".") + "."
    if folder != "." and seen.wsgi.startswith(inside):
        return f"cd {folder} && exec {server} {seen.wsgi.removeprefix(inside)}"
    return f"{server} {seen.wsgi or 'MODULE:APP'}"


def _of_dependencies(seen: Seen) -> str:
    if not seen.lock:
        return "none found; write what you import to requirements.in, and: fapbuild lock"
    source = seen.requirements or (PYPROJECT if not seen.lock_is_there else "")
    locked = f"locked in {seen.lock}" if seen.lock_is_there else f"to be locked in {seen.lock}"
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

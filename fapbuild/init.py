"""`fapbuild init`: look at a project, and write the settings that pack it as it is."""

import json
import posixpath
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifact_store.errors import UsageError
from fapbuild.config import LOCKS, OWN_FILE, PYPROJECT, is_unhashed
from fapbuild.guards import TAKEN, is_secret_name

Read = Callable[[str], str]
"""The text of a file of the project, empty if it can't be read."""

_REQUIREMENTS = (
    *("requirements.in", "requirements/production.in", "requirements/prod.in", "requirements/base.in"),
    *("requirements.txt", "requirements/production.txt", "requirements/prod.txt", "requirements/base.txt"),
)
# In the order of preference if several are there; what each installs exactly as its lock says.
_PACKAGE_MANAGERS = {
    "package-lock.json": ("npm ci", "npm run build"),
    "npm-shrinkwrap.json": ("npm ci", "npm run build"),
    "pnpm-lock.yaml": ("pnpm install --frozen-lockfile", "pnpm run build"),
    "yarn.lock": ("yarn install --frozen-lockfile", "yarn run build"),
    "bun.lock": ("bun install --frozen-lockfile", "bun run build"),
    "bun.lockb": ("bun install --frozen-lockfile", "bun run build"),
}
_BUNDLERS = {"vite": "dist", "webpack": "dist", "parcel": "dist", "react-scripts": "build", "next": ".next"}
_BUNDLER_CONFIG = re.compile(r"(rollup|vite|webpack|esbuild)[\w.-]*\.(c|m)?[jt]s")
_OUTPUT_FLAG = re.compile(r"(?:\s-o|--(?:out-?[dD]ir|outfile|output|dist-dir))[=\s]+['\"]?([\w@./-]+)")
_OUTPUT_KEY = re.compile(r"\b(?:file|dir|outDir|outdir|outfile)\s*:\s*['\"]([\w@./-]+)['\"]")
_SOURCE_MAP = re.compile(r"\bsourcemap\s*:\s*true")
_STATIC_ROOT = re.compile(
    r"""^STATIC_ROOT\s*=\s*(?:
        \w+\s*/\s*['"](?P<joined>[\w./-]+)['"]            # BASE_DIR / "static"
        |os\.path\.join\(\s*\w+\s*,\s*['"](?P<path>[\w./-]+)['"]\s*\)
        |str\(\s*\w+\s*/\s*['"](?P<text>[\w./-]+)['"]\s*\)
        |\w+\s*\+\s*['"]/(?P<added>[\w./-]+)['"]
    )""",
    re.MULTILINE | re.VERBOSE,
)
_FILE = r"""['"][\w-]+\.\w+['"]"""
_DATA_FILE = re.compile(
    rf"""os\.path\.join\(\s*\w+\s*,\s*((?:['"][\w-]+['"]\s*,\s*)+){_FILE}
        |\w+\s*/\s*((?:['"][\w-]+['"]\s*/\s*)+){_FILE}          # BASE_DIR / "data" / "db.sqlite3"
    """,
    re.VERBOSE,
)
_SERVERS = {
    "gunicorn": "gunicorn",
    "uvicorn": "uvicorn --host 0.0.0.0 --port $PORT",
    "hypercorn": "hypercorn --bind 0.0.0.0:$PORT",
    "daphne": "daphne -b 0.0.0.0 -p $PORT",
    "waitress": "waitress-serve --port=$PORT",
}
"""The commands of web servers, by package; gunicorn reads PORT by itself."""
_WIDTH = 90
_NOT_OURS = re.compile(r"(^|/)(node_modules|vendor|third_party|docs?|examples?|tests?|e2e)/")


@dataclass(frozen=True)
class Frontend:
    """A folder with a package.json that has a build script."""

    directory: str
    run: tuple[str, ...]
    outputs: tuple[str, ...]
    locked: bool


@dataclass(frozen=True)
class Django:
    """A `manage.py`, and where its collectstatic writes; empty if the settings don't say it plainly."""

    directory: str
    static_root: str
    data: tuple[str, ...] = ()
    """Folders that are not committed, where the settings look for files; relative to `directory`."""


@dataclass(frozen=True)
class Seen:
    """What is in a project, as far as packing goes; paths are relative to its folder."""

    app: str
    app_is_named: bool
    """Whether pyproject.toml has the name already."""
    requirements: str
    lock: str
    lock_is_there: bool
    groups: tuple[str, ...]
    extras: tuple[str, ...]
    package: bool
    """Whether the project must be installed to be imported."""
    python: str
    exclude: tuple[str, ...]
    left_out: tuple[str, ...]
    """Modules that .dockerignore names (settings for developers, say), and made-up secrets of tests."""
    procfile: bool
    frontends: tuple[Frontend, ...]
    django: Django | None
    wsgi: str
    """What a web server is told to run (`shop.wsgi`); empty if nothing looks like it."""
    server: str
    """The package of a web server that is among the dependencies, else gunicorn."""


def workspace_lock(root: Path, above: Sequence[Path]) -> str:
    """The `../uv.lock` of the uv workspace that the project in `root` is a member of, or an empty string."""
    for folder in above:
        try:
            written = tomllib.loads((folder / PYPROJECT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        members = _table(_table(_table(written, "tool"), "uv"), "workspace").get("members", [])
        place = root.relative_to(folder)
        if any(place.match(str(member)) for member in members) and (folder / "uv.lock").is_file():
            return posixpath.join(*[".."] * len(place.parts), "uv.lock")
    return ""


def detect(paths: Sequence[str], read: Read, folder_name: str, workspace: str = "") -> Seen:
    """Look at a project with these files; `workspace` is the lock of the one it is a member of.

    Raises UsageError if its pyproject.toml can't be read.
    """
    there = frozenset(paths)
    pyproject = _pyproject(read(PYPROJECT)) if PYPROJECT in there else {}
    project, tool = _table(pyproject, "project"), _table(pyproject, "tool")
    name = str(project.get("name") or _table(tool, "poetry").get("name") or "")
    requirements, lock, locked = _lock(there, read, workspace, pyproject)
    poetry_groups = _table(_table(tool, "poetry"), "group")
    return Seen(
        app=_app_name(name or folder_name),
        app_is_named=bool(name),
        requirements=requirements,
        lock=lock,
        lock_is_there=locked,
        groups=_for_hosts({**_table(pyproject, "dependency-groups"), **poetry_groups}),
        extras=_for_hosts(_table(project, "optional-dependencies")),
        package="build-system" in pyproject
        and any(re.fullmatch(r"src/\w+/__init__\.py", path) for path in paths),
        python=str(project.get("requires-python") or ""),
        exclude=tuple(sorted({f"/{path.split('/')[0]}" for path in paths if path.split("/")[0] in TAKEN})),
        left_out=_left_out(there, read),
        procfile="Procfile" in there,
        frontends=tuple(_frontends(there, read)),
        django=_django(there, read),
        wsgi=_wsgi(there),
        server=_server(there, read, lock),
    )


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
    if "fapbuild" in _table(_pyproject(before), "tool"):
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


def _lock(
    there: frozenset[str], read: Read, workspace: str, pyproject: dict[str, Any]
) -> tuple[str, str, bool]:
    """Requirements file, lock, and whether the lock is there."""
    if found := [*(name for name in LOCKS if name in there), *filter(None, [workspace])]:
        return "", found[0], True
    tool, project = _table(pyproject, "tool"), _table(pyproject, "project")
    if "poetry" in tool and not project.get("dependencies"):
        return "", "poetry.lock", False
    for name in _REQUIREMENTS:
        if name in there:
            stem, suffix = posixpath.splitext(name)
            if suffix == ".in":
                return name, f"{stem}.txt", f"{stem}.txt" in there
            if is_unhashed(read(name)):
                return name, f"{stem}-lock.txt", f"{stem}-lock.txt" in there
            return "", name, True
    if project.get("dependencies"):
        return "", "requirements.txt", False
    return "", "", False


def _frontends(there: frozenset[str], read: Read) -> list[Frontend]:
    found = []
    for path in sorted(there):
        if posixpath.basename(path) != "package.json" or _NOT_OURS.search(path):
            continue
        folder = posixpath.dirname(path)
        try:
            package = json.loads(read(path))
        except ValueError:
            continue
        scripts = _table(package if isinstance(package, dict) else {}, "scripts")
        if not isinstance(scripts.get("build"), str):
            continue
        locks = [name for name in _PACKAGE_MANAGERS if posixpath.join(folder, name) in there]
        run = _PACKAGE_MANAGERS[locks[0]] if locks else ("npm install", "npm run build")
        outputs = tuple(_outputs(scripts, folder, there, read))
        found.append(Frontend(folder or ".", run, outputs, bool(locks)))
    return found


def _outputs(scripts: dict[str, Any], folder: str, there: frozenset[str], read: Read) -> list[str]:
    """What the build script or its bundler's configuration says it writes, else the bundler's default."""
    lines, wanted = [], ["build"]
    while wanted:
        line = str(scripts.get(name := wanted.pop(), ""))
        if line not in lines:
            lines.append(line)
            wanted += [
                other for other in re.findall(r"\b(?:run|run-s|run-p)\s+([\w:-]+)", line) if other != name
            ]
    script = "\n".join(lines)
    found = list(_OUTPUT_FLAG.findall(script))
    for path in sorted(there):
        if posixpath.dirname(path) == folder and _BUNDLER_CONFIG.fullmatch(posixpath.basename(path)):
            text = read(path)
            named = _OUTPUT_KEY.findall(text)
            mapped = (
                [f"{name}.map" for name in named if name.endswith("js")] if _SOURCE_MAP.search(text) else []
            )
            found += [*named, *mapped]
    if not found:
        found = [output for tool, output in _BUNDLERS.items() if re.search(rf"\b{tool}\b", script)][:1] or [
            "dist"
        ]
    outputs = [posixpath.normpath(posixpath.join(folder, output)) for output in found]
    return sorted(
        {path for path in outputs if not path.startswith(("/", "..")) and path not in (".", folder)}
    )


def _django(there: frozenset[str], read: Read) -> Django | None:
    managers = [
        path
        for path in sorted(there)
        if posixpath.basename(path) == "manage.py" and not _NOT_OURS.search(path)
    ]
    for path in managers:
        folder = posixpath.dirname(path)
        module = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)", read(path))
        if not module:
            continue
        start = posixpath.join(folder, module[1].replace(".", "/"))
        package = posixpath.dirname(f"{start}.py") if f"{start}.py" in there else start
        files = [f"{start}.py", *(name for name in sorted(there) if posixpath.dirname(name) == package)]
        texts = [read(name) for name in files if name in there]
        roots = [
            posixpath.normpath(posixpath.join(folder, next(filter(None, match.groups()))))
            for text in texts
            if (match := _STATIC_ROOT.search(text))
        ]
        return Django(folder or ".", next(iter(roots), ""), _data_folders(texts, folder, there))
    return None


def _data_folders(texts: Sequence[str], folder: str, there: frozenset[str]) -> tuple[str, ...]:
    found = set()
    for match in (match for text in texts for match in _DATA_FILE.finditer(text)):
        place = "/".join(re.findall(r"[\w-]+", match[1] or match[2]))
        if not any(path.startswith(f"{posixpath.join(folder, place)}/") for path in there):
            found.add(place)
    return tuple(sorted(found))


def _left_out(there: frozenset[str], read: Read) -> tuple[str, ...]:
    # Only Python files that .dockerignore names one by one: its patterns are about images.
    lines = read(".dockerignore").splitlines() if ".dockerignore" in there else []
    named = (line.strip().removeprefix("/") for line in lines)
    modules = {path for path in named if path in there and path.endswith(".py")}
    secrets = {path for path in there if _NOT_OURS.search(path) and is_secret_name(path)}
    return tuple(f"/{path}" for path in sorted(modules | secrets))


def _wsgi(there: frozenset[str]) -> str:
    """The module that a WSGI or ASGI server is pointed at, by the names that frameworks give it."""
    for name in ("wsgi.py", "asgi.py"):
        found = [
            path for path in sorted(there) if posixpath.basename(path) == name and not _NOT_OURS.search(path)
        ]
        if found:
            return found[0].removesuffix(".py").replace("/", ".")
    return next((f"{name}:app" for name in ("app", "main", "wsgi") if f"{name}.py" in there), "")


def _server(there: frozenset[str], read: Read, lock: str) -> str:
    files = [name for name in (lock, *_REQUIREMENTS, PYPROJECT) if name in there]
    texts = "\n".join(read(name) for name in files)
    named = (
        name for name in _SERVERS if re.search(rf"""^(name = )?[ "']*{name}\b(?![-.])""", texts, re.MULTILINE)
    )
    return next(named, "gunicorn")


def _served(seen: Seen) -> str:
    """The command of the web process."""
    folder, server = seen.django.directory if seen.django else ".", _SERVERS[seen.server]
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


def _for_hosts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if not re.search(r"dev|test|docs?|lint|typing|actions", name)))


def _app_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "app"


def _pyproject(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{PYPROJECT}: {error}") from error


def _table(above: dict[str, Any], key: str) -> dict[str, Any]:
    found = above.get(key)
    return found if isinstance(found, dict) else {}


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

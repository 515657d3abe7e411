"""What is in a project, as far as packing goes: dependencies, front ends, Django, a web server."""

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifact_store.core.errors import UsageError
from fapbuild.guards.files import TAKEN, is_secret_name
from fapbuild.project.config import LOCKS, PYPROJECT, is_unhashed

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
SERVERS = {
    "gunicorn": "gunicorn",
    "uvicorn": "uvicorn --host 0.0.0.0 --port $PORT",
    "hypercorn": "hypercorn --bind 0.0.0.0:$PORT",
    "daphne": "daphne -b 0.0.0.0 -p $PORT",
    "waitress": "waitress-serve --port=$PORT",
}
"""The commands of web servers, by package; gunicorn reads PORT by itself."""
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
        members = subtable(subtable(subtable(written, "tool"), "uv"), "workspace").get("members", [])
        place = root.relative_to(folder)
        if any(place.match(str(member)) for member in members) and (folder / "uv.lock").is_file():
            return posixpath.join(*[".."] * len(place.parts), "uv.lock")
    return ""


def detect(paths: Sequence[str], read: Read, folder_name: str, workspace: str = "") -> Seen:
    """Look at a project with these files; `workspace` is the lock of the one it is a member of.

    Raises UsageError if its pyproject.toml can't be read.
    """
    there = frozenset(paths)
    pyproject = parsed(read(PYPROJECT)) if PYPROJECT in there else {}
    project, tool = subtable(pyproject, "project"), subtable(pyproject, "tool")
    name = str(project.get("name") or subtable(tool, "poetry").get("name") or "")
    requirements, lock, locked = _lock(there, read, workspace, pyproject)
    poetry_groups = subtable(subtable(tool, "poetry"), "group")
    return Seen(
        app=_app_name(name or folder_name),
        app_is_named=bool(name),
        requirements=requirements,
        lock=lock,
        lock_is_there=locked,
        groups=_for_hosts({**subtable(pyproject, "dependency-groups"), **poetry_groups}),
        extras=_for_hosts(subtable(project, "optional-dependencies")),
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


def _lock(
    there: frozenset[str], read: Read, workspace: str, pyproject: dict[str, Any]
) -> tuple[str, str, bool]:
    """Requirements file, lock, and whether the lock is there."""
    if found := [*(name for name in LOCKS if name in there), *filter(None, [workspace])]:
        return "", found[0], True
    tool, project = subtable(pyproject, "tool"), subtable(pyproject, "project")
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
        scripts = subtable(package if isinstance(package, dict) else {}, "scripts")
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
        name for name in SERVERS if re.search(rf"""^(name = )?[ "']*{name}\b(?![-.])""", texts, re.MULTILINE)
    )
    return next(named, "gunicorn")


def _for_hosts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if not re.search(r"dev|test|docs?|lint|typing|actions", name)))


def _app_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "app"


def parsed(text: str) -> dict[str, Any]:
    """A pyproject.toml; raises UsageError."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{PYPROJECT}: {error}") from error


def subtable(above: dict[str, Any], key: str) -> dict[str, Any]:
    """The table of that name, empty if there is none, or something else."""
    found = above.get(key)
    return found if isinstance(found, dict) else {}

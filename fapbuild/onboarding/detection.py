"""Detects what a project consists of: dependencies, front ends, Django, a web server."""

import json
import posixpath
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from artifact_store.core import toml_text
from artifact_store.core.errors import UsageError
from fapbuild.guards.files import RESERVED, is_secret_name, without_case
from fapbuild.onboarding import applications, build_scripts, daemons, own_commands, workers
from fapbuild.onboarding.django_variables import (
    made_up_modules,
    needed_variables,
    servers_lack_settings,
    settings_for_hosts,
    settings_of_manage,
)
from fapbuild.onboarding.packages import selected
from fapbuild.onboarding.server_package import Addition, adding, choices
from fapbuild.onboarding.servers import Web, choose
from fapbuild.onboarding.start_lines import prefer_named
from fapbuild.onboarding.workers import Workers
from fapbuild.project.config import LOCKS, PYPROJECT, backend_knows, is_package, is_unhashed, subtable

Read = Callable[[str], str]
"""The text of a file of the project, empty if it can't be read."""

_REQUIREMENTS = (
    *("requirements.in", "requirements/production.in", "requirements/prod.in", "requirements/base.in"),
    *("requirements.txt", "requirements/production.txt", "requirements/prod.txt", "requirements/base.txt"),
)
# By lock file, in the order of preference: the commands that install exactly its versions, and run a script.
_PACKAGE_MANAGERS = {
    "package-lock.json": ("npm ci", "npm run"),
    "npm-shrinkwrap.json": ("npm ci", "npm run"),
    "pnpm-lock.yaml": ("pnpm install --frozen-lockfile", "pnpm run"),
    "yarn.lock": ("yarn install --frozen-lockfile", "yarn run"),
    "bun.lock": ("bun install --frozen-lockfile", "bun run"),
    "bun.lockb": ("bun install --frozen-lockfile", "bun run"),
}
_BUNDLERS = {"vite": "dist", "webpack": "dist", "parcel": "dist", "react-scripts": "build", "next": ".next"}
_BUNDLER_CONFIG = re.compile(r"(rollup|vite|webpack|esbuild)[\w.-]*\.(c|m)?[jt]s")
_OUTPUT_FLAG = re.compile(r"(?:\s-o|--(?:out-?[dD]ir|outfile|output|dist-dir))[=\s]+['\"]?([\w@./-]+)")
_CONFIG_FLAG = re.compile(r"\s(?:--config|-c)[=\s]+['\"]?([\w@./-]+)")
_OUTPUT_KEY = re.compile(r"\b(?:file|dir|outDir|outdir|outfile)\s*:\s*['\"]([\w@./-]+)['\"]")
_COMPUTED_OUTPUT = re.compile(r"\b(outDir|outdir|path)\s*:\s*[^'\"\s]")
_FOLDER = re.compile(r"[\"']((?:[\w@.-]+/)+[\w@.-]*)[\"']")
_BUILT = re.compile(r"\.min\.(js|css)$|\.(js|css)\.map$|[-.][\w-]{8}\.(js|css)$")
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
_COMPUTED_ROOT = re.compile(r"^STATIC_ROOT\s*(:\s*[\w.]+\s*)?=.*(DIR|ROOT|PATH|__file__)\b", re.MULTILINE)
_COMPRESSES = re.compile(r"^COMPRESS_OFFLINE\s*=\s*True", re.MULTILINE)
_FILE = r"""['"][\w-]+\.\w+['"]"""
_DATA_FILE = re.compile(
    rf"""os\.path\.join\(\s*\w+\s*,\s*((?:['"][\w-]+['"]\s*,\s*)+){_FILE}
        |\w+\s*/\s*((?:['"][\w-]+['"]\s*/\s*)+){_FILE}          # BASE_DIR / "data" / "db.sqlite3"
    """,
    re.VERBOSE,
)
_TOP_FILE = re.compile(
    r"""os\.path\.join\(\s*\w+\s*,\s*['"]([\w-]+\.\w+)['"]\s*\)|\w+\s*/\s*['"]([\w-]+\.\w+)['"]"""
)
"""A file beside manage.py that settings name: `BASE_DIR / "secret.txt"`."""
_DATABASE = re.compile(r"\.(sqlite3?|db)$")
"""Files that Django makes when the database is first asked, not when its settings are loaded."""
OF_DEVELOPERS = re.compile(
    r"(^|/)(docs?|examples?|tests?|e2e|fixtures|cypress|docker|\.docker|\.devcontainer|\.github|ci|contrib)/"
    r"|(^|/)(docker-)?compose[\w.-]*\.ya?ml$"
)
_COMPOSE = re.compile(r"(^|/)(docker-)?compose[\w.-]*\.ya?ml$")
_ENV = re.compile(r"(^|/)\.env(\.[\w.-]+)?$")
_ENV_OF_DEVELOPERS = re.compile(
    r"(^|[/._-])(dev|develop|development|local|py)?(test\w*|dev|develop|development|local|ci|compose|docker)"
    r"([._-][\w.-]*)?\.env$|(^|/)\.env\.(dev\w*|test\w*|local|ci|docker)$"
)
_FOR_COMPOSE = re.compile(r"(\s*(#[^\n]*|COMPOSE_\w+=[^\n]*)(\n|$))+\s*")
_NOT_OURS = re.compile(r"(^|/)(node_modules|vendor|third_party|docs?|examples?|tests?|e2e)/")


@dataclass(frozen=True)
class Frontend:
    """A folder with a package.json that builds something."""

    directory: str
    run: tuple[str, ...]
    outputs: tuple[str, ...]
    locked: bool
    name: str = field(default="", compare=False)
    """The last part of its own folder; empty for the top."""
    committed: str = field(default="", compare=False)
    """Where its output is committed, so that no step has to make it; else empty."""
    no_step: str = field(default="", compare=False)
    """Why it has no step, if how it is built was not found; else empty."""


@dataclass(frozen=True)
class Django:
    """A Django project: the folder of its manage.py, and the folder that collectstatic writes.

    `static_root` is empty if the settings don't give it in a simple form.
    """

    directory: str
    static_root: str
    data: tuple[str, ...] = ()
    """Folders where the settings expect files, and which are not committed; relative to `directory`."""
    files: tuple[str, ...] = field(default=(), compare=False)
    """Files that the settings name, and may write, and which are not committed; relative to `directory`."""
    computes_root: bool = False
    """Whether the settings compute STATIC_ROOT, so that only Django knows it."""
    variables: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """Variables without which the settings don't load, with values for the build."""
    compresses: bool = False
    """Whether django-compressor expects templates that were compressed before (`COMPRESS_OFFLINE`)."""

    @property
    def collects(self) -> bool:
        """Whether collectstatic writes a folder."""
        return bool(self.static_root) or self.computes_root


@dataclass(frozen=True)
class Detection:
    """What was detected in a project; paths are relative to its folder."""

    app: str
    has_name: bool
    """Whether pyproject.toml has the name already."""
    requirements: str
    source: str
    """The file that lists the dependencies, if no requirements file does."""
    lock: str
    has_lock: bool
    """Whether the lock exists."""
    groups: tuple[str, ...]
    extras: tuple[str, ...]
    package: bool
    """Whether the project must be installed to be imported."""
    python: str
    target: str
    exclude: tuple[str, ...]
    left_out: tuple[str, ...]
    """Files that hosts don't need: modules that .dockerignore names; of tests and docs, made-up secrets and
    files that differ only in case."""
    has_procfile: bool
    frontends: tuple[Frontend, ...]
    django: Django | None
    web: Web | None
    """The command of the web process; None if it is not sure."""
    addition: Addition | None
    """How its server gets among its packages, if it is not."""
    workers: Workers
    applications: tuple[str, ...]
    """Web applications (`shop.wsgi:application`) that may be it."""
    commands: tuple[str, ...]
    """Commands of the project that may be it."""
    packages: frozenset[str]
    """The normalized names of the packages that it gets, as far as its lock or requirements say."""


def detect(
    paths: Sequence[str],
    read: Read,
    folder_name: str,
    workspace: str = "",
    suspicious: Collection[str] = (),
    target: str = "",
) -> Detection:
    """Detect what a project with these files consists of; `workspace` is the lock of its workspace, if any.

    `suspicious` are files of tests, documentation and the like whose text looks like secrets. `target` is the
    platform to pack for, if not the default.

    Raises UsageError if its pyproject.toml can't be read.
    """
    files = frozenset(paths)
    pyproject = parsed(read(PYPROJECT)) if PYPROJECT in files else {}
    project, tool = subtable(pyproject, "project"), subtable(pyproject, "tool")
    name = str(project.get("name") or subtable(tool, "poetry").get("name") or "")
    requirements, lock, has_lock = _lock(files, read, workspace, pyproject)
    poetry_groups = subtable(subtable(tool, "poetry"), "group")
    package = is_package(files, lambda path: read(path) if path in files else "", pyproject)
    known = files | {workspace}
    packages = selected(lock, requirements, files, lambda path: read(path) if path in known else "")
    found = prefer_named(applications.find(files, read), files, read)
    web = choose(found, packages, package) if found and applications.is_sure(found) else None
    scripts = own_commands.scripts(pyproject, files, read)
    if (web is None or not web.selected) and (
        command := own_commands.serving(scripts if package else {}, files, read, alone=not found)
    ):
        web = Web(command, "", selected=True)
    source = next((name for name in (PYPROJECT, "setup.py", "setup.cfg") if name in files), PYPROJECT)
    addition = None
    if web and not web.selected:
        for choice, names in choices(pyproject, _for_hosts).items() if not requirements else ():
            if (other := choose(found, packages | names, package)).selected:
                web, addition = other, choice
                break
        else:
            groups = subtable(pyproject, "dependency-groups")
            addition = adding(
                web.package,
                requirements=requirements,
                lock=lock,
                has_lock=has_lock,
                source=source,
                groups=groups,
            )
    django = _django(files, read)
    manage = django.directory if django else None
    processes = workers.find(files, read, packages, manage, package)
    if not (found or web or django or processes.processes):
        processes = processes.with_worker(daemons.find(files, read, packages, scripts if package else {}))
    return Detection(
        app=_app_name(name or folder_name),
        has_name=bool(name),
        requirements=requirements,
        source=source,
        lock=lock,
        has_lock=has_lock,
        groups=_for_hosts({**subtable(pyproject, "dependency-groups"), **poetry_groups}),
        extras=_for_hosts(subtable(project, "optional-dependencies")),
        package=package,
        python=str(project.get("requires-python") or ""),
        target=target,
        exclude=tuple(sorted({f"/{path.split('/')[0]}" for path in paths if path.split("/")[0] in RESERVED})),
        left_out=_left_out(files, read, suspicious),
        has_procfile="Procfile" in files,
        frontends=tuple(_frontends(files, read)),
        django=django,
        web=web,
        addition=addition,
        workers=processes,
        applications=tuple(dict.fromkeys(one.reference for one in found)),
        commands=tuple(scripts),
        packages=packages,
    )


def _lock(
    files: frozenset[str], read: Read, workspace: str, pyproject: dict[str, Any]
) -> tuple[str, str, bool]:
    """Requirements file, lock, and whether the lock exists."""
    if locks := [*(name for name in LOCKS if name in files), *filter(None, [workspace])]:
        return "", locks[0], True
    tool, project = subtable(pyproject, "tool"), subtable(pyproject, "project")
    if "poetry" in tool and not project.get("dependencies"):
        return "", "poetry.lock", False
    for name in _REQUIREMENTS:
        if name in files:
            stem, suffix = posixpath.splitext(name)
            if suffix == ".in":
                locked = f"{stem}.txt"
                return name, locked, locked in files and not is_unhashed(read(locked))
            if is_unhashed(read(name)):
                return name, f"{stem}-lock.txt", f"{stem}-lock.txt" in files
            return "", name, True
    if project.get("dependencies") or backend_knows(
        lambda path: read(path) if path in files else "", pyproject
    ):
        return "", "requirements.txt", False
    return "", "", False


def _frontends(files: frozenset[str], read: Read) -> list[Frontend]:
    frontends = []
    for path in sorted(files):
        if posixpath.basename(path) != "package.json" or _NOT_OURS.search(path):
            continue
        folder = posixpath.dirname(path)
        try:
            package = json.loads(read(path))
        except ValueError:
            continue
        package = package if isinstance(package, dict) else {}
        scripts = subtable(package, "scripts")
        top, lock = _locked_in(folder, files)
        install, run = _PACKAGE_MANAGERS.get(lock, ("npm install", "npm run"))
        if lock == "yarn.lock" and posixpath.join(top, ".yarnrc.yml") in files:
            install = "yarn install --immutable"  # from yarn 2 on
        if lock == "yarn.lock" and _needs_corepack(top, read):
            install, run = "corepack yarn install --immutable", "corepack yarn run"
        build = build_scripts.commands(scripts, folder, run, files, read)
        no_step = "" if build else build_scripts.not_found(package)
        if not (build or no_step):
            continue
        if top != folder:  # a member of a workspace, whose packages are installed at its top
            where = shlex.quote(posixpath.relpath(folder, top or "."))
            build = tuple(f"cd {where} && {line}" for line in build)
        names = [line.rpartition(" ")[2] for line in build]
        outputs = (
            () if names and names[0] not in scripts else tuple(_outputs(scripts, names, folder, files, read))
        )
        frontends.append(
            Frontend(
                directory=top or ".",
                run=(install, *build),
                outputs=outputs,
                locked=bool(lock),
                name=posixpath.basename(folder),
                committed=_committed_output(folder, outputs, files, read),
                no_step=no_step,
            )
        )
    return frontends


def _needs_corepack(top: str, read: Read) -> bool:
    """Whether only corepack has the yarn that package.json names: from yarn 2 on, and not committed."""
    named = re.search(r'"packageManager"\s*:\s*"yarn@([2-9]|\d\d)', read(posixpath.join(top, "package.json")))
    return named is not None and "yarnPath" not in read(posixpath.join(top, ".yarnrc.yml"))


def _committed_output(folder: str, outputs: Sequence[str], files: frozenset[str], read: Read) -> str:
    """The output of a front end, or a folder that its bundler's configuration names, if it is committed."""
    texts = [
        read(path)
        for path in sorted(files)
        if posixpath.dirname(path) == folder and _BUNDLER_CONFIG.fullmatch(posixpath.basename(path))
    ]
    named: list[str] = [match for text in texts for match in _FOLDER.findall(text)]
    places = [*outputs, *named, *(posixpath.join(folder, name) for name in named)]
    for place in [posixpath.normpath(one) for one in places]:
        inside = f"{place}/"
        if not f"{folder}/".startswith(inside) and any(
            path.startswith(inside) and _BUILT.search(path) for path in files
        ):
            return place
    return ""


def _locked_in(folder: str, files: frozenset[str]) -> tuple[str, str]:
    """The nearest folder, from this one up, with a lock of a package manager, and the lock; else itself."""
    place = folder
    while True:
        if locks := [name for name in _PACKAGE_MANAGERS if posixpath.join(place, name) in files]:
            return place, locks[0]
        if not place:
            return folder, ""
        place = posixpath.dirname(place)


def _outputs(
    scripts: dict[str, Any], building: Sequence[str], folder: str, files: frozenset[str], read: Read
) -> list[str]:
    """The outputs that the building scripts or the bundler's configuration name, else the bundler's default.

    Empty if they can't be read there.
    """
    lines, names = [], [*building]
    while names:
        line = str(scripts.get(name := names.pop(), ""))
        if line not in lines:
            lines.append(line)
            names += [
                other for other in re.findall(r"\b(?:run|run-s|run-p)\s+([\w:-]+)", line) if other != name
            ]
    script = "\n".join(lines)
    outputs, computed = list(_OUTPUT_FLAG.findall(script)), False
    named = {posixpath.normpath(posixpath.join(folder, path)) for path in _CONFIG_FLAG.findall(script)}
    for path in sorted(files):
        beside = posixpath.dirname(path) == folder and _BUNDLER_CONFIG.fullmatch(posixpath.basename(path))
        if beside or path in named:
            text = read(path)
            written = _OUTPUT_KEY.findall(text)
            maps = (
                [f"{name}.map" for name in written if name.endswith("js")] if _SOURCE_MAP.search(text) else []
            )
            outputs += [*written, *maps]
            computed |= _COMPUTED_OUTPUT.search(text) is not None
    if not outputs and not computed:
        outputs = [output for tool, output in _BUNDLERS.items() if re.search(rf"\b{tool}\b", script)][:1]
    places = [posixpath.normpath(posixpath.join(folder, output)) for output in outputs]
    return sorted({path for path in places if not path.startswith(("/", "..")) and path not in (".", folder)})


def _django(files: frozenset[str], read: Read) -> Django | None:
    managers = [
        path
        for path in sorted(files)
        if posixpath.basename(path) == "manage.py" and not _NOT_OURS.search(path)
    ]
    for path in managers:
        folder = posixpath.dirname(path)
        module = settings_of_manage(read(path), folder, files)
        if not module:
            continue
        settings = settings_for_hosts(module, folder, files, read)
        differs = settings not in read(path) or servers_lack_settings(folder, files, read)
        chosen = [("DJANGO_SETTINGS_MODULE", settings)] if differs else []
        start = posixpath.join(folder, settings.replace(".", "/"))
        package = posixpath.dirname(f"{start}.py") if f"{start}.py" in files else start
        modules = [f"{start}.py", *(name for name in sorted(files) if posixpath.dirname(name) == package)]
        by_name = {name: read(name) for name in modules if name in files}
        texts = [*by_name.values()]
        roots = [
            posixpath.normpath(posixpath.join(base, next(filter(None, match.groups()))))
            for text in texts
            if (match := _STATIC_ROOT.search(text))
            and (base := _folder_of(_variable(match[0]), by_name, folder)) is not None
        ]
        read_here = any(_STATIC_ROOT.search(text) for text in texts)
        return Django(
            directory=folder or ".",
            static_root=next(iter(roots), ""),
            data=_data_folders(texts, folder, files),
            files=_data_files(texts, folder, files),
            computes_root=not read_here and any(_COMPUTED_ROOT.search(text) for text in texts),
            variables=(*chosen, *needed_variables(texts), *made_up_modules(texts, folder, files)),
            compresses=any(_COMPRESSES.search(text) for text in texts),
        )
    return None


def _variable(assignment: str) -> str:
    """The variable that `STATIC_ROOT = BASE_DIR / "static"` and its like start from."""
    match = re.search(r"=\s*(?:os\.path\.join\(|str\()?\s*(\w+)", assignment)
    return match[1] if match else ""


def _folder_of(variable: str, texts: Mapping[str, str], otherwise: str, depth: int = 5) -> str | None:
    """The folder that a variable of the settings names, as far as its assignment shows: below `__file__`.

    `otherwise` for another assignment; None for a folder outside the project.
    """
    for path, text in texts.items():
        match = re.search(rf"^{re.escape(variable)}\s*=\s*(.+)$", text, re.MULTILINE)
        if not match or not depth:
            continue
        expression = match[1]
        ups = len(re.findall(r"\.parent\b|dirname\(|[\"']\.\.[\"']", expression))
        ups += sum(int(number) + 1 for number in re.findall(r"\.parents\[(\d+)\]", expression))
        ups += sum(map(int, re.findall(r"\)\s*-\s*(\d+)", expression)))  # environ.Path(__file__) - 3
        if "__file__" in expression:
            start = path
        elif (other := re.match(r"(?:os\.path\.\w+\()*(\w+)", expression)) and other[1] != variable:
            above = _folder_of(other[1], texts, "", depth - 1)
            start = above or otherwise
        else:
            return otherwise
        parts = start.split("/") if start else []
        return "/".join(parts[: len(parts) - ups]) if ups <= len(parts) else None
    return otherwise


def _data_folders(texts: Sequence[str], folder: str, files: frozenset[str]) -> tuple[str, ...]:
    folders = set()
    for match in (match for text in texts for match in _DATA_FILE.finditer(text)):
        place = "/".join(re.findall(r"[\w-]+", match[1] or match[2]))
        if not any(path.startswith(f"{posixpath.join(folder, place)}/") for path in files):
            folders.add(place)
    return tuple(sorted(folders))


def _data_files(texts: Sequence[str], folder: str, files: frozenset[str]) -> tuple[str, ...]:
    names = {match[1] or match[2] for text in texts for match in _TOP_FILE.finditer(text)}
    return tuple(
        sorted(
            name for name in names if posixpath.join(folder, name) not in files and not _DATABASE.search(name)
        )
    )


def _left_out(files: frozenset[str], read: Read, suspicious: Collection[str]) -> tuple[str, ...]:
    # Only Python files that .dockerignore names one by one: its patterns are meant for images.
    lines = read(".dockerignore").splitlines() if ".dockerignore" in files else []
    names = (line.strip().removeprefix("/") for line in lines)
    modules = {path for path in names if path in files and path.endswith(".py")}
    secrets = {path for path in files if OF_DEVELOPERS.search(path) and is_secret_name(path)}
    composed = {posixpath.dirname(path) for path in files if _COMPOSE.search(path)}
    secrets |= {path for path in files if posixpath.dirname(path) in composed and _ENV.search(path)}
    secrets |= {path for path in files if is_secret_name(path) and _ENV_OF_DEVELOPERS.search(path)}
    secrets |= {path for path in files if _ENV.search(path) and _FOR_COMPOSE.fullmatch(read(path))}
    counts = Counter(map(without_case, files))
    twins = {path for path in files if counts[without_case(path)] > 1 and OF_DEVELOPERS.search(path)}
    return tuple(f"/{path}" for path in sorted({*modules, *secrets, *suspicious, *twins}))


def _for_hosts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(
        sorted(
            name
            for name in names
            if not re.search(
                r"(^|[-_.])(dev|develop|development|tests?|testing|docs?|lint|typing|types|mypy|actions|ci)([-_.]|$)",
                name,
            )
        )
    )


def _app_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "app"


def parsed(text: str) -> dict[str, Any]:
    """Parse the text of a pyproject.toml; raise UsageError if it is broken."""
    try:
        return toml_text.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{PYPROJECT}: {error}") from error

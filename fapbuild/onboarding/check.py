"""`fapbuild check`: checks a project against the twelve factors (12factor.net). Read-only.

`wrong` means that `pack` refuses the project, that two builds of one commit can differ, or that a host can't
install it. Anything else is a `note`: it may be right for this app.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from artifact_store.core.errors import FapError
from artifact_store.core.finding import Finding
from fapbuild import locks
from fapbuild.archive.members import TarEntry
from fapbuild.cache import Cache, default_folder
from fapbuild.guards.files import (
    certificates_apart,
    check_clean,
    check_names,
    check_pushed,
    check_secret_names,
    check_secret_texts,
    check_sizes,
    unallowed,
)
from fapbuild.packing import contents
from fapbuild.project import config, git_tree, platforms, procfile, programs
from fapbuild.project.config import BuildSettings, Project
from fapbuild.project.git_tree import SourceTree

CODEBASE, DEPENDENCIES, CONFIG = "I codebase", "II dependencies", "III config"
SEPARATION, PROCESSES, PORT, CONCURRENCY = (
    "V separation",
    "VI processes",
    "VII port binding",
    "VIII concurrency",
)
DISPOSABILITY, LOGS, ADMIN = "IX disposability", "XI logs", "XII admin processes"

_SCRIPT = re.compile(r"(?:exec\s+)?(?:(?:ba|da|z)?sh\s+(?!-c)|\S+\.sh\b|\./)")
_COMMENT = re.compile(r"(?:^|\s)#.*")
_FETCHES = re.compile(
    r"\b(curl|wget|git clone|apt-get|npm|yarn|gcc|make|pip3? install(?!.*--(?:no-index|find-links)))(?=\s)"
)
_PORT = re.compile(r"\$\{?(?:PORT|FAP_BIND)\b|unix:")
_FIXED = re.compile(r"(?:--bind|--port|-b|-p|--http)[ =](?:\S*:)?(\d{2,5})(?=\s|$)")
_DATA = re.compile(r"\.(?:sqlite3?|db|pid|sock)$", re.I)
_LOG = re.compile(r"(?:^|/)logs?/[^./][^/]*\.(?:log|txt|out|err|gz|\d+)$|\.log(?:\.\d+)?$", re.I)
_TO_FILE = re.compile(rb"\b\w*FileHandler\b")
_SETTINGS = re.compile(r"\.(?:py|ini|cfg|toml|ya?ml|json)$")
_TESTS = re.compile(r"(?:^|/)(?:tests?|docs?)/|(?:^|/)test_[^/]*$")
_SHOWN = 3


def check(root: Path, output: Path = Path("dist")) -> Iterator[Finding]:
    """Check the project in the folder `root`, factor by factor, as its files are now.

    Files in the folder `output` are ignored; it is relative to the current folder, as for `pack`.
    Raises UsageError for settings that can't be read, FapError if there is no commit.
    """
    output = output.absolute()
    changed = git_tree.changes(root, output)
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as work:
        into = Path(work) / "tree"
        tree = git_tree.read(root, "HEAD", into, with_changes=bool(changed), ignore=output)
        project = config.load(tree.folder, tree.above)
        files = contents.committed(tree, project.settings)
        yield from _codebase(root, changed, tree)
        yield from _dependencies(project, tree)
        yield from _config(files, tree, project.settings)
        yield from _separation(files, project.settings)
        yield _none_of(
            PROCESSES,
            "files that an app writes are committed",
            _matching(files, _DATA),
            "a release is read-only: keep them in shared/ (linked_files, linked_dirs of deploy.yml)",
            otherwise="no files that an app writes are committed",
        )
        yield from _processes(tree, project)
        yield from _logs(files)


def _codebase(root: Path, changed: tuple[str, ...], tree: SourceTree) -> Iterator[Finding]:
    yield _guarded(CODEBASE, "everything is committed", lambda: check_clean(changed))
    pushed = git_tree.is_pushed(root, tree.commit)
    if not tree.repository:
        if git_tree.has_remote(root):
            says = "its remote is a folder of this machine, so artifacts can't name where they come from"
            yield Finding(CODEBASE, "note", says, "git remote set-url origin URL")
        else:
            yield Finding(CODEBASE, "note", "this repository has no remote", "git remote add origin URL")
    else:
        yield _guarded(
            CODEBASE,
            f"commit {tree.commit[:12]} is pushed",
            lambda: check_pushed(tree.commit, pushed=pushed),
        )


def _dependencies(project: Project, tree: SourceTree) -> Iterator[Finding]:
    settings = project.settings
    try:
        platform = platforms.parse(settings.target)
        name = platforms.name(platform)
        platforms.check_python(project.requires_python, platform)
        locks.bring_paths(project, tree)
        lock = locks.read(project, tree.folder, platforms.marker_environment(platform))
    except FapError as error:
        yield _wrong(DEPENDENCIES, error)
        return
    if lock.problem:
        yield Finding(
            DEPENDENCIES, "wrong", lock.problem, f"run `fapbuild lock`, then commit {settings.lock}"
        )
    elif not lock.pins:
        fix = "list the packages that the app imports in requirements.in, then run `fapbuild lock`"
        yield Finding(DEPENDENCIES, "note", "no dependencies are listed, so no packages are packed", fix)
    else:
        how = "all with hashes" if all(pin.sha256s for pin in lock.pins) else "all locked"
        yield Finding(DEPENDENCIES, "right", f"{settings.lock}: {len(lock.pins)} packages, {how}")
    if built := [pin.name for pin in lock.pins if pin.origin]:
        fix = "publish them to an index as wheels, or share built wheels: --wheel-store STORE"
        yield Finding(
            DEPENDENCIES, "note", f"built from source on each machine that packs: {_some(built)}", fix
        )
    if settings.target:
        yield Finding(DEPENDENCIES, "right", f"packed for {name}")
    else:
        yield Finding(
            DEPENDENCIES,
            "note",
            f"no target is set, so the platform is that of the machine that packs: {name}",
            'set the platform of your hosts in [tool.fapbuild]: target = "cp312-manylinux_2_28_x86_64"',
        )


def _config(files: tuple[TarEntry, ...], tree: SourceTree, settings: BuildSettings) -> Iterator[Finding]:
    checked = unallowed(files, settings)
    oids, cache = {file.path: file.oid for file in tree.files}, Cache(default_folder())
    paths = [*certificates_apart(checked)]
    yield _guarded(CONFIG, "no file name looks like a secret", lambda: check_secret_names(paths))
    yield _guarded(
        CONFIG,
        "no file seems to contain a key or token",
        lambda: check_secret_texts(checked, oids, cache),
    )
    if settings.requires_env:
        yield Finding(CONFIG, "right", f"required variables: {', '.join(settings.requires_env)}")
    else:
        yield Finding(
            CONFIG,
            "note",
            "no required variables are declared, so a missing one shows only when the app runs",
            'declare them in [tool.fapbuild]: requires_env = ["DATABASE_URL"]',
        )


def _separation(files: tuple[TarEntry, ...], settings: BuildSettings) -> Iterator[Finding]:
    own, checked = settings.installer == "own", unallowed(files, settings)
    paths = [entry.path for entry in files]
    try:
        check_names(paths, own_installer=own)
        check_sizes(checked, settings.file_limit)
    except FapError as error:
        yield _wrong(SEPARATION, error)
    scripts = {"post_install": "\n".join(settings.post_install)}
    if own:
        scripts["install.sh"] = "".join(_text(entry) for entry in files if entry.path == "install.sh")
    commands = {name: sorted(set(_FETCHES.findall(_COMMENT.sub("", text)))) for name, text in scripts.items()}
    fetching = [f"{name} ({', '.join(words)})" for name, words in commands.items() if words]
    if fetching:
        yield Finding(
            SEPARATION,
            "wrong",
            f"an install has no network and no compiler, but these need one: {_some(fetching)}",
            "do it while packing: wheels through the lock, compiled files through [[tool.fapbuild.assets]]",
        )
    else:
        steps = [step.name for step in settings.assets]
        compiled = f"{_some(steps)} compiled while packing; " if steps else ""
        yield Finding(SEPARATION, "right", f"{compiled}an install downloads and compiles nothing")


def _processes(tree: SourceTree, project: Project) -> Iterator[Finding]:
    try:
        processes = procfile.read(tree.folder)
    except FapError as error:
        yield _wrong(CONCURRENCY, error)
        return
    if not processes:
        fix = "write a Procfile: web: gunicorn --bind ${FAP_BIND:-127.0.0.1:$PORT} shop.wsgi"
        yield Finding(CONCURRENCY, "note", "there is no Procfile, so no process is defined", fix)
        return
    yield Finding(CONCURRENCY, "right", f"processes in the Procfile: {', '.join(processes)}")
    if project.settings.installer == "fapkit":
        yield from _programs(processes, tree, project)
    if web := processes.get("web"):
        if _PORT.search(web):
            yield Finding(PORT, "right", "web binds to the port that it is given")
        else:
            fixed = _FIXED.search(web)
            says = f"web always binds to port {fixed[1]}" if fixed else "web does not use $PORT"
            fix = "use what it is given: gunicorn --bind ${FAP_BIND:-127.0.0.1:$PORT} shop.wsgi"
            yield Finding(PORT, "note", says, fix)
    shells = [name for name, line in processes.items() if re.search(r"[;|&]", line) and "exec " not in line]
    yield _none_of(
        DISPOSABILITY,
        "SIGTERM reaches a shell instead of the process",
        shells,
        "put exec before the last command: cd site && exec gunicorn …",
        otherwise="no process has a shell in front of it that would get SIGTERM",
    )
    scripts = [name for name, line in processes.items() if _SCRIPT.match(line)]
    if scripts:
        fix = "let the script end with: exec COMMAND"
        says = f"whether SIGTERM reaches what a script starts was not tried: {_some(scripts)}"
        yield Finding(DISPOSABILITY, "note", says, fix)
    if reloads := [n for n, line in processes.items() if re.search(r"\buwsgi\b(?!.*die-on-term)", line)]:
        fix = "add --die-on-term, or die-on-term = true to its ini file"
        yield Finding(
            DISPOSABILITY, "note", f"SIGTERM reloads uwsgi instead of ending it: {_some(reloads)}", fix
        )
    for name in {"release"} & processes.keys():
        fix = f"to run it once per rollout, set in deploy.yml: release_command: .fap/run {name}"
        yield Finding(ADMIN, "note", f"{name} is an ordinary process here", fix)


def _programs(processes: dict[str, str], tree: SourceTree, project: Project) -> Iterator[Finding]:
    """Programs that the lock brings no package for. Which others its packages have, only `pack` can say."""
    environment = platforms.marker_environment(platforms.parse(project.settings.target))
    try:
        names = {pin.name for pin in locks.read(project, tree.folder, environment).pins}
    except FapError:
        return
    for name, command in processes.items():
        one = programs.started(command)
        package = programs.PACKAGES.get(one.program, "") if one else ""
        if one and package and names and package not in names:
            says = f"process {name} starts {one.program}, but {package} is not in the lock"
            yield Finding(CONCURRENCY, "wrong", says, f"add {package} to the requirements, and lock again")


def _logs(files: tuple[TarEntry, ...]) -> Iterator[Finding]:
    yield _none_of(
        LOGS,
        "log files are committed",
        _matching(files, _LOG),
        "remove them with git rm --cached, and add them to .gitignore",
        otherwise="no log files are committed",
    )
    to_files = [
        entry.path
        for entry in files
        if _SETTINGS.search(entry.path)
        and not _TESTS.search(entry.path)
        and isinstance(entry.content, Path)
        and entry.size < 1_000_000
        and _TO_FILE.search(entry.content.read_bytes())
    ]
    yield _none_of(
        LOGS,
        "logging goes to files",
        to_files,
        "log to stdout (logging.StreamHandler), which supervisor and journald keep; a release is read-only",
        otherwise="no logging goes to files",
    )


def _guarded(factor: str, says: str, check: Callable[[], None]) -> Finding:
    """The finding of a check of `pack`: its error, or `says` if it passes."""
    try:
        check()
    except FapError as error:
        return _wrong(factor, error)
    return Finding(factor, "right", says)


def _wrong(factor: str, error: FapError) -> Finding:
    first, *lines = error.message.splitlines()
    return Finding(factor, "wrong", " ".join([first, "; ".join(map(str.strip, lines))]).strip(), error.hint)


def _none_of(factor: str, says: str, names: Sequence[str], fix: str, *, otherwise: str) -> Finding:
    if names:
        return Finding(factor, "note", f"{says}: {_some(names)}", fix)
    return Finding(factor, "right", otherwise)


def _matching(files: Iterable[TarEntry], pattern: re.Pattern[str]) -> list[str]:
    return [entry.path for entry in files if pattern.search(entry.path) and not _TESTS.search(entry.path)]


def _text(entry: TarEntry) -> str:
    return entry.content.read_text("utf-8", "replace") if isinstance(entry.content, Path) else ""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

"""The code in a checkout, and whether its user trusts it.

The code is what would run on the controller: modules beside deploy.yml that it names as plugins, and the
`command` values of its environment. It runs only after `faprelease trust` has recorded the sha256 of these
files in the user's state folder, and until one of them changes. `FAP_TRUST=1` trusts every checkout; that is
for CI.
"""

import ast
import os
import shlex
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from artifact_store.core.checkouts import all_are_trusted
from faprelease.config.deployfile import DeployFile
from faprelease.config.layers import every_key
from faprelease.config.plugin_names import beside, is_beside, named_plugins
from faprelease.errors import ConfigError

_MOST_FILES = 2000
_MOST_BYTES = 4_000_000


class UntrustedError(ConfigError):
    """Code of a checkout would run, and the user does not trust it."""


@dataclass(frozen=True)
class Code:
    """The code in the checkout of a deploy.yml."""

    plugins: tuple[str, ...]
    """The plugins that are modules beside deploy.yml, as it names them."""
    commands: tuple[tuple[str, ...], ...]
    files: Mapping[str, bytes]
    """The contents of deploy.yml, of these modules, of the modules that they import from the same folder, and
    of the files that the commands name; by their paths from that folder."""


@dataclass(frozen=True)
class Trusted:
    """What may run. `files` has the modules that were trusted, as in `Code`; None: whatever is there."""

    files: Mapping[str, bytes] | None


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file in the state folder: a deploy.yml, and the sha256 of each file of its code."""

    deploy_yml: str
    digests: dict[str, str]


def trusted(file: DeployFile) -> Trusted | None:
    """Return what of the checkout may run; None if it is not trusted, or changed since."""
    if all_are_trusted():
        return Trusted(None)
    path = Path(file.name).resolve()
    record = _read(_record_of(path, file.digest))
    if record is None or record.deploy_yml != str(path):
        return None
    files = {name: _content(path.parent / name) for name in record.digests if name != path.name}
    wanted = {name: digest for name, digest in record.digests.items() if name != path.name}
    found = {name: _digest(data) for name, data in files.items() if data is not None}
    if found != wanted or record.digests.get(path.name) != file.digest:
        return None
    return Trusted({name: data for name, data in files.items() if data is not None})


def refuse_untrusted(file: DeployFile, what: str) -> Trusted:
    """Return what may run. Raises UntrustedError if the checkout is not trusted; `what` would run then."""
    found = trusted(file)
    if found is None:
        raise UntrustedError(
            f"{what} is code of this checkout, which is not trusted, or changed since it was",
            hint=f"read it, then: {trust_command(file)}   (in CI: FAP_TRUST=1)",
        )
    return found


def trust_command(file: DeployFile) -> str:
    """The command that trusts the checkout of a deploy.yml."""
    which = "" if file.name == "deploy.yml" else f" -f {shlex.quote(file.name)}"
    return f"faprelease trust{which}"


def trust(file: DeployFile) -> Code:
    """Record that the checkout is trusted as it is now, and return its code. Nothing is recorded if there is
    none. Raises ConfigError if a file can't be read or parsed, or there are too many."""
    code = code_of(file)
    if code.plugins or code.commands:
        path = Path(file.name).resolve()
        digests = {name: _digest(data) for name, data in code.files.items()}
        _write(_record_of(path, file.digest), _Record(str(path), digests))
    return code


def revoke(file: DeployFile) -> int:
    """Trust the checkout no more, in any state that it had; return how many records there were."""
    path = str(Path(file.name).resolve())
    records = [
        each for each in _folder().glob("*.json") if (found := _read(each)) and found.deploy_yml == path
    ]
    for each in records:
        each.unlink()
    return len(records)


def code_of(file: DeployFile) -> Code:
    """Return the code in the checkout of a deploy.yml. Nothing runs. Raises ConfigError as `trust` does."""
    path = Path(file.name).resolve()
    said = [name for place, value in every_key(file) for name in named_plugins(place[-1], value)]
    plugins = beside(dict.fromkeys(said), path.parent)
    commands = tuple(dict.fromkeys(_commands(file.values)))
    names = [*_modules(plugins.values(), path.parent), *_files_named(commands, path.parent)]
    files = {path.name: path.read_bytes()}
    if _digest(files[path.name]) != file.digest:
        raise ConfigError(f"{file.name} changed while it was read", hint="try again")
    for name in dict.fromkeys(names):
        data = _content(path.parent / name)
        if data is None or sum(map(len, files.values())) > _MOST_BYTES or len(files) > _MOST_FILES:
            raise ConfigError(
                f"{name}: there is too much code beside {file.name} to trust it file by file",
                hint="put plugins into a small module, or install them as a package",
            )
        files[name] = data
    return Code(tuple(plugins), commands, files)


def _commands(value: Any) -> Iterator[tuple[str, ...]]:
    """Every `{command: [WORD, …]}` in a value, wherever it is."""
    if isinstance(value, dict):
        words = value.get("command")
        if isinstance(words, list) and words:
            yield tuple(map(str, words))
        for each in value.values():
            yield from _commands(each)
    elif isinstance(value, list):
        for each in value:
            yield from _commands(each)


def _files_named(commands: tuple[tuple[str, ...], ...], folder: Path) -> Iterator[str]:
    """The files in the folder that words of the commands name, like `./secret.sh`."""
    for word in (word for words in commands for word in words):
        name = os.path.normpath(word)
        if "\0" not in name and not name.startswith(("/", "..")) and (folder / name).is_file():
            yield name


def _modules(names: Any, folder: Path) -> Iterator[str]:
    """The files of modules in the folder, and of what they import from it: whole packages, so that a
    package may import its parts by any means."""
    tops = [name.partition(".")[0] for name in names]
    for top in tops:  # grows
        for name in _files_of(top, folder):
            yield name
            tops += [each for each in _imports(folder / name) if each not in tops and is_beside(each, folder)]


def _files_of(top: str, folder: Path) -> list[str]:
    package = folder / top
    if (folder / f"{top}.py").is_file() and not (package / "__init__.py").is_file():
        return [f"{top}.py"]
    found = []
    for place, folders, names in os.walk(package):
        folders.sort()
        own = sorted(name for name in names if name.endswith(".py"))
        found += [os.path.relpath(f"{place}/{name}", folder) for name in own]
        if len(found) > _MOST_FILES:
            break
    return found


def _imports(path: Path) -> list[str]:
    """The first parts of the modules that a file imports by statements."""
    try:
        tree = ast.parse(_content(path) or b"", str(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{path} is not valid Python: {error}", hint="repair it, or remove it") from error
    names = [
        name
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom) and not node.level
            else []
        )
    ]
    return list(dict.fromkeys(name.partition(".")[0] for name in names if name))


def _content(path: Path) -> bytes | None:
    """The bytes of a regular file; None if it is missing, something else, or too large."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError:
        return None
    return data if len(data) <= _MOST_BYTES else None


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def _folder() -> Path:
    """The folder of the records, in the user's state folder (XDG Base Directory Specification)."""
    state = os.environ.get("XDG_STATE_HOME", "")
    try:
        return (Path(state) if state.startswith("/") else Path.home() / ".local/state") / "fapkit/trust"
    except RuntimeError as error:  # a user id without a home
        raise ConfigError("you have no home folder, so nothing can be trusted", hint="set HOME") from error


def _record_of(path: Path, digest: str) -> Path:
    return _folder() / f"{_digest(os.fsencode(path) + digest.encode())}.json"


def _is_safe(path: Path) -> bool:
    """Whether only this user could write it."""
    facts = path.lstat()
    return facts.st_uid == os.geteuid() and not facts.st_mode & 0o022 and not stat.S_ISLNK(facts.st_mode)


def _read(path: Path) -> _Record | None:
    """Return a record; None if there is none, or if others could have written it."""
    try:
        if not (_is_safe(path.parent) and _is_safe(path)):
            return None
        return msgspec.json.decode(path.read_bytes(), type=_Record)
    except (OSError, msgspec.MsgspecError):
        return None


def _write(path: Path, record: _Record) -> None:
    folder = path.parent
    unfinished = folder / f".{path.name}.{os.getpid()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise ConfigError(f"{folder} belongs to another user", hint=f"ls -ld {folder}; then remove it")
        folder.chmod(0o700)
        number = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(msgspec.json.encode(record) + b"\n")
        unfinished.replace(path)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"can't record it: {error}", hint=f"ls -ld {folder}") from error

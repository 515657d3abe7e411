"""Writes the first deploy.yml of an app, its schema, and lines of .gitignore."""

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from artifact_store.artifact.ids import check_app
from artifact_store.core import toml_text
from faprelease.config import deployfile, schema, starter
from faprelease.config import target as config
from faprelease.config.starter import Answers
from faprelease.errors import ConfigError
from faprelease.plugins import registry

DEPLOY = "deploy.yml"
_STAGE = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Found:
    """The app in a folder: its name, and the commands of its Procfile by their names."""

    app: str
    processes: dict[str, str]


@dataclass(frozen=True)
class Written:
    """The files that were written, and the commands that come next."""

    files: tuple[str, ...]
    next: tuple[str, ...]


def look(folder: Path) -> Found:
    """Read what `fapbuild init` wrote, and the Procfile.

    Raises ConfigError if the folder has no settings of fapbuild or no Procfile, or has a deploy.yml.
    """
    for name in (DEPLOY, starter.SCHEMA):
        if (folder / name).exists():
            raise ConfigError(
                f"{name} already exists", hint="edit it; or delete it, then run `faprelease init` again"
            )
    return Found(_app(folder), starter.processes(_read(folder / "Procfile")))


def answers(**given: Any) -> Answers:
    """The answers, checked as far as they can be without a file. Raises ConfigError, naming the option."""
    made = Answers(**given)
    if made.store.startswith("file:"):
        raise ConfigError(
            f"--store {made.store}: hosts can't read a folder of this machine",
            hint="give a store that they reach: s3://BUCKET/PREFIX, or https://… in front of one",
        )
    for option, value, form in (
        ("--store", made.store, r"(s3|https?)://[\w.:@/-]+"),
        ("--stage", made.stage, _STAGE.pattern),
        ("--user", made.user, r"[a-z_][a-z0-9_-]*"),
        *(("--host", host, r"[\w.:@%\[\]-]+") for host in made.hosts or ("",)),
    ):
        if not re.fullmatch(form, value):
            raise ConfigError(f"{option}: {value!r} can't be used", hint="see: faprelease init --help")
    return made


def write(folder: Path, found: Found, answers: Answers) -> Written:
    """Write the files. Raises ConfigError if deploy.yml would be wrong, or a file can't be written."""
    text = starter.deploy_yml(found.app, found.processes, answers)
    ignored = _read(folder / ".gitignore")
    files = {
        DEPLOY: text,
        starter.SCHEMA: json.dumps(schema.schema(registry.built_in_keys()), indent=2) + "\n",
    }
    made: list[Path] = []
    try:
        for name, content in files.items():
            with (folder / name).open("x", encoding="utf-8") as file:
                made.append(folder / name)
                file.write(content)
        _check(folder / DEPLOY, answers.stage)
        if (lines := starter.ignore(ignored)) != ignored:
            (folder / ".gitignore").write_text(lines, encoding="utf-8")
            files[".gitignore"] = lines
    except (OSError, ConfigError) as error:
        _remove(made)
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"can't write {folder}: {error}", hint="fix this, then run it again") from error
    return Written(tuple(files), tuple(starter.next_commands(found.app, answers, list(files))))


def _check(path: Path, stage: str) -> None:
    """Read the file as a release would. Raises ConfigError for what is wrong in it."""
    read = deployfile.read(path)
    keys = registry.options_of(read)
    config.check(read, keys, {})
    config.targets(read, stage, None, {}, keys)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _app(folder: Path) -> str:
    own = _toml(folder / "fapbuild.toml")
    pyproject = _toml(folder / "pyproject.toml")
    tool = pyproject.get("tool", {})
    settings = own or tool.get("fapbuild")
    if settings is None:
        raise ConfigError("fapbuild has no settings here", hint="run first: fapbuild init")
    name = pyproject.get("project", {}).get("name") or tool.get("poetry", {}).get("name", "")
    app: str = settings.get("app") or re.sub(r"[-_.]+", "-", str(name)).lower()
    check_app(app)
    return app


def _toml(path: Path) -> dict[str, Any]:
    try:
        return toml_text.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path.name} is not valid TOML: {error}", hint="fix it: fapbuild check") from error


def _read(path: Path) -> str:
    """The text of a file, empty if there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"can't read {path.name}: {error}", hint="fix this, then run it again") from error

"""The first deploy.yml of an app: what runs where, from its Procfile and a few answers. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from faprelease.config.settings import WEB
from faprelease.errors import ConfigError

Manager = Literal["supervisor", "systemd", "systemd-user"]
SCHEMA = "deploy.schema.json"
"""The file beside deploy.yml from which editors complete its keys."""
IGNORED = ("dist/", ".env")
RELEASE = "release"
"""The Procfile's process that runs once, before a release starts (devcenter.heroku.com, "Release Phase")."""
_PROCESS = re.compile(r"([A-Za-z0-9_-]+):\s*(\S.*)")
_PLUGINS: Mapping[Manager, Sequence[str]] = {
    "supervisor": ("curl", "supervisorctl"),
    "systemd": ("curl", "systemd"),
    "systemd-user": ("curl", "systemd"),
}


@dataclass(frozen=True)
class Answers:
    """What no file says."""

    hosts: tuple[str, ...]
    user: str
    manager: Manager
    store: str
    stage: str = "production"
    health_path: str = "/"
    """A path that the app answers with 200."""
    schedules: tuple[tuple[str, str], ...] = ()
    """Processes of the Procfile that run at given times: their names, and times as in crontab(5)."""


def processes(procfile: str) -> dict[str, str]:
    """The commands of a Procfile, by their names. Raises ConfigError if there are none."""
    found = {
        match[1]: match[2]
        for line in procfile.splitlines()
        if (match := _PROCESS.fullmatch(line.strip())) and not line.lstrip().startswith("#")
    }
    if not found:
        raise ConfigError(
            "there is no Procfile with a process",
            hint="write one: echo 'web: COMMAND' > Procfile; `fapbuild init` prints the command",
        )
    return found


def deploy_yml(app: str, commands: Mapping[str, str], answers: Answers) -> str:
    """The text of deploy.yml for an app with these processes.

    Raises ConfigError for a schedule that names no process, or if no process is left.
    """
    schedules = dict(answers.schedules)
    if unknown := next((name for name in schedules if name not in commands), ""):
        raise ConfigError(
            f"the Procfile has no process {unknown}", hint=f"it has: {', '.join(commands)}; change --schedule"
        )
    running = [name for name in commands if name not in schedules and name != RELEASE]
    if not running:
        raise ConfigError(
            "no process of the Procfile would run all the time",
            hint="deploy.yml can be written by hand: see docs/deploy.yml of fapkit",
        )
    web = WEB in running
    plugins = [*_PLUGINS[answers.manager], *["healthcheck"] * web]
    lines = [
        f"# yaml-language-server: $schema={SCHEMA}",
        f"# Where {app} runs. All keys: faprelease config --keys",
        f"app_name: {_text(app)}",
        f"user: {_text(answers.user)}",
        *[f"sudo_user: {_text(answers.user)}"] * (answers.user != "deploy"),
        f"store: {_text(answers.store)}",
        f"plugins: [{', '.join(plugins)}]",
        *["systemd_user: true"] * (answers.manager == "systemd-user"),
        f"processes: {{{', '.join(f'{name}: 1' for name in running)}}} # how many of each run",
    ]
    if web:
        lines += [
            "handover: beside # a new version is started and checked before it gets requests",
            f"healthcheck_path: {_text(answers.health_path)} # what answers 200",
        ]
    if RELEASE in commands and RELEASE not in schedules:
        lines += [
            "# once, on the first host, before a release starts",
            f"release_command: {_text(commands[RELEASE])}",
        ]
    if schedules:
        lines.append(
            "schedules: # on the first host, never twice at once; times are those of crontab(5), in UTC"
        )
        lines += [
            f"  {name}: {{command: {_text(commands[name])}, at: {_text(time)}}}"
            for name, time in schedules.items()
        ]
    lines += [
        "stage_role_configs:",
        f"  {_text(answers.stage)}:",
        f"    {WEB if web else running[0]}: {{hosts: [{', '.join(map(_text, answers.hosts))}]}}",
    ]
    return "\n".join(lines) + "\n"


def ignore(before: str) -> str:
    """A .gitignore with the lines that a build and a release need; `before` is what it has now."""
    there = {line.strip().strip("/") for line in before.splitlines()}
    missing = [line for line in IGNORED if line.strip("/") not in there]
    end = "" if not before or before.endswith("\n") else "\n"
    return before + end * bool(missing) + "".join(f"{line}\n" for line in missing)


def next_commands(app: str, answers: Answers, files: Sequence[str]) -> list[str]:
    """The five commands that come next, from the commit to the first release."""
    return [
        f"git add {' '.join(files)} Procfile && git commit -m 'Add deploy.yml' && git push -u origin HEAD",
        f"fapbuild pack --version 1 --push {answers.store}",
        f"fapstore --store {answers.store} promote {app} 1 {answers.stage}",
        f"faprelease plan {answers.stage}",
        f"faprelease {answers.stage}",
    ]


def _text(value: str) -> str:
    """A value as YAML: plain if it can't be read as something else, otherwise in quotes. `%` is doubled."""
    value = value.replace("%", "%%")
    plain = re.fullmatch(r"[A-Za-z/][\w./@-]*", value) and value.lower() not in _OTHER_VALUES
    return (
        value
        if plain or re.fullmatch(r"[a-z0-9]+://[\w./-]+", value)
        else json.dumps(value, ensure_ascii=False)
    )


_OTHER_VALUES = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
"""Words that YAML 1.1 reads as booleans or as nothing."""

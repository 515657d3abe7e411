"""What the shell offers for stages, roles, hosts and flags, from the deploy.yml that the line names.
It runs no code of a checkout that is not trusted.

click does the rest: https://click.palletsprojects.com/shell-completion. Releases and versions are not
offered: hosts and stores would have to be asked at each press of a key.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from faprelease.config.deployfile import DeployFile
    from faprelease.config.keys import Key
    from faprelease.config.layers import Stage


def complete_place(ctx: click.Context, parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """A stage, then a role of it; behind --hosts, one of its hosts. Nothing if deploy.yml can't be read."""
    said = list(ctx.params.get("words") or ())
    words = [word for word in said if not word.startswith("-")]
    stage = ctx.params.get("stage") or (words.pop(0) if words else "")
    role = ctx.params.get("role") or (words.pop(0) if words else "")
    stages = _stages(ctx)
    if said[-1:] == ["--hosts"]:
        return _items(_hosts(ctx, stage, role), typed)
    if parameter.name == "stage" or not (stage or parameter.name == "role"):
        return _items(list(stages), typed)
    roles = [
        name for each in ([stages[stage]] if stage in stages else stages.values()) for name in each.roles
    ]
    return [] if role else _items(list(dict.fromkeys(roles)), typed)


def complete_stage(ctx: click.Context, typed: str) -> list[CompletionItem]:
    """A stage, where a verb may stand too."""
    return _items(list(_stages(ctx)), typed)


def complete_flag(ctx: click.Context, typed: str) -> list[CompletionItem]:
    """A key as a flag."""
    read = _read(ctx)
    flags = {f"--{name.replace('_', '-')}": key for name, key in (read[1] if read else {}).items()}
    return [
        CompletionItem(flag, help=key.about)
        for flag, key in flags.items()
        if flag.startswith(typed) and not key.is_mapping
    ]


def _hosts(ctx: click.Context, stage: str, role: str) -> list[str]:
    from faprelease.config.layers import Scope, stages
    from faprelease.errors import ConfigError

    read = _read(ctx)
    if not read or stage not in (found := stages(*read)):
        return []
    roles = [role] if role in found[stage].roles else list(found[stage].roles)
    try:
        return [host.name for name in roles for host in Scope(*read, stage, name, {}).hosts()]
    except ConfigError:
        return []


def _items(names: list[str], typed: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(typed)]


def _stages(ctx: click.Context) -> "dict[str, Stage]":
    from faprelease.config.layers import stages

    read = _read(ctx)
    return stages(*read) if read else {}


def _read(ctx: click.Context) -> "tuple[DeployFile, dict[str, Key]] | None":
    from faprelease.config import deployfile
    from faprelease.config.target import CORE
    from faprelease.errors import ConfigError
    from faprelease.plugins import registry

    path: Any = ctx.params.get("file") or Path("deploy.yml")
    if not Path(path).is_file():  # a pipe or a terminal would wait
        return None
    try:
        file = deployfile.read(Path(path))
        return file, {**CORE, **registry.options_of(file)}
    except ConfigError:
        return None

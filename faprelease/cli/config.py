"""The verbs about deploy.yml itself: config and schema. They connect to nothing and read no secret."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faprelease.cli.group import KEYS, cli, echo
from faprelease.cli.request import FLAGS, about_a_stage, request

if TYPE_CHECKING:
    from faprelease.config.keys import Key


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@click.option("--json", "as_json", is_flag=True, help="print one JSON object per host, or per key")
@click.option("--keys", "list_keys", is_flag=True, help="list every key, those of plugins too")
def config(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool, list_keys: bool) -> None:
    """Show the effective settings, and where each was set.

    One block for each role; with --keys, every key that deploy.yml can have.
    """
    from faprelease.config import explain
    from faprelease.config import target as config
    from faprelease.config.plugin_names import ALWAYS
    from faprelease.plugins import registry
    from faprelease.run import run

    if list_keys:
        rows = explain.all_keys(_keys_of(file))
        lines = explain.keys_as_text(rows)
    else:
        asked = request(words, file, stage, role)
        read, keys = run.load(asked.file, asked.flags)
        _warn([registry.unread_warning(read, asked.flags), *config.unknown_names(read, keys)])
        targets = config.targets(read, asked.stage, asked.role, asked.flags, keys)
        rows = [explain.effective(target, keys, ALWAYS) for target in targets]
        lines = explain.as_text(rows)
    for line in map(json.dumps, rows) if as_json else lines:
        echo(line)


@cli.command()
@click.option(
    "-f",
    "-d",
    "--deployfile",
    "file",
    type=Path,
    default=Path("deploy.yml"),
    help="the file whose plugins add keys",
)
def schema(file: Path) -> None:
    """Print the JSON Schema of deploy.yml, for editors.

    The keys of the plugins that your deploy.yml names are in it.
    """
    from faprelease.config import schema

    click.echo(json.dumps(schema.schema(_keys_of(file)), indent=2))


def _keys_of(file: Path) -> "dict[str, Key]":
    from faprelease.config import deployfile
    from faprelease.plugins import registry

    if not file.exists():
        return registry.built_in_keys()
    read = deployfile.read(file)
    _warn([registry.unread_warning(read)])
    return registry.options_of(read)


def _warn(warnings: "list[str]") -> None:
    for warning in filter(None, warnings):
        echo(f"warning: {warning}", err=True)

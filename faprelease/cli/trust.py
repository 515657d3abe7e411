"""The verb that allows the code of a checkout to run: trust."""

import shlex
from pathlib import Path

import click

from faprelease.cli.group import cli, echo


@cli.command()
@click.option(
    "-f",
    "-d",
    "--deployfile",
    "file",
    type=Path,
    default=Path("deploy.yml"),
    help="(default: deploy.yml)",
)
@click.option("--revoke", is_flag=True, help="no longer trust it")
def trust(file: Path, revoke: bool) -> None:
    """Trust the plugins beside deploy.yml, and its commands.

    They run on this machine, as you. Read them first. The trust is yours, and ends when one of the files
    changes. Without it, no verb runs them: `status`, `config` and the like do without the plugins, and
    releases are refused. FAP_TRUST=1 trusts every deploy.yml; set it in CI, not in your shell.
    """
    from faprelease.config import checkout, deployfile

    read = deployfile.read(file)
    if revoke:
        count = checkout.revoke(read)
        echo(f"{file} is no longer trusted" if count else f"{file} was not trusted")
        return
    code = checkout.trust(read)
    if not (code.plugins or code.commands):
        echo(f"{file}: nothing to trust: it names no plugin beside it, and no command")
        return
    echo(f"trusted: {', '.join(code.files)}")
    for plugin in code.plugins:
        echo(f"  plugin {plugin}")
    for words in code.commands:
        echo(f"  command {shlex.join(words)}")
    echo("They may run on this machine now, until one of these files changes.")

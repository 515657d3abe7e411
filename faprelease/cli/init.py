"""The verb for a first deploy.yml: init."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faprelease.cli.group import cli, echo

if TYPE_CHECKING:
    from faprelease.config.starter import Manager

_MANAGERS = ("supervisor", "systemd", "systemd-user")


@cli.command()
@click.option("--host", "hosts", multiple=True, metavar="NAME", help="a host, as ssh names it; repeat it")
@click.option("--user", metavar="NAME", help="the user who logs in to them and runs the app")
@click.option("--manager", type=click.Choice(_MANAGERS), help="what runs the processes there")
@click.option("--store", metavar="URL", envvar="FAP_STORE", help="the store: s3://BUCKET/PREFIX or https://…")
@click.option("--stage", default="production", show_default=True, help="the name of the first stage")
@click.option(
    "--healthcheck-path", "health_path", default="/", show_default=True, help="a path that answers 200"
)
@click.option(
    "--schedule",
    "schedules",
    nargs=2,
    multiple=True,
    metavar="PROCESS TIME",
    help="run a process of the Procfile at times of crontab(5) instead of all the time",
)
def init(
    hosts: tuple[str, ...],
    user: str | None,
    manager: "Manager | None",
    store: str | None,
    stage: str,
    health_path: str,
    schedules: tuple[tuple[str, str], ...],
) -> None:
    """Write the first deploy.yml for the app in this folder.

    \b
      faprelease init --host web1.example.com --user deploy \\
        --manager systemd-user --store s3://example-artifacts

    Run `fapbuild init` before it, and write the Procfile. Reads both, asks for what is missing, and prints
    the commands up to the first release. Existing files are never changed, but .gitignore gets lines.
    """
    from faprelease.verbs import init as verb

    folder = Path.cwd()
    found = verb.look(folder)
    answers = verb.answers(
        hosts=hosts or tuple(_ask("--host", "Host, as ssh names it").replace(",", " ").split()),
        user=user or _ask("--user", "User who logs in and runs the app", "deploy"),
        manager=manager or _ask("--manager", "Process manager", "supervisor", click.Choice(_MANAGERS)),
        store=store or _ask("--store", "Store (s3://BUCKET/PREFIX)"),
        stage=stage,
        health_path=health_path,
        schedules=schedules,
    )
    written = verb.write(folder, found, answers)
    for path in written.files:
        click.echo(path)
    echo("check deploy.yml, then run:", err=True)
    for line in written.next:
        echo(f"  {line}", err=True)


def _ask(
    option: str, question: str, default: str | None = None, choice: click.Choice[str] | None = None
) -> str:
    """The answer of the person at the terminal. Raises UsageError with the option if there is none."""
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{option} is missing, and there is no terminal to ask: faprelease init --help"
        )
    answer: str = click.prompt(question, default=default, type=choice, err=True)
    return answer

"""The verbs that stop and allow releases to a stage: freeze and unfreeze."""

from pathlib import Path

import click

from faprelease.cli.group import add_renamed, cli
from faprelease.cli.request import FLAGS, about_a_stage, request


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option("--why", required=True, metavar="TEXT", help="reason, shown to anyone who is refused")
def freeze(words: tuple[str, ...], file: Path, stage: str, role: str, why: str) -> None:
    """Stop releases to STAGE and ROLE until `unfreeze`.

    Nobody can release, roll back or restart there, not even you. The freeze is stored on the hosts and
    survives a reboot. A release that is running already is not stopped.
    """
    from faprelease.report.report import Report
    from faprelease.run.run import Run
    from faprelease.verbs import freeze

    freeze.freeze(Run.of(request(words, file, stage, role), "freeze", Report()), why)


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option(
    "--force", is_flag=True, help="also break the lock of a running release; it then publishes nothing"
)
def unfreeze(words: tuple[str, ...], file: Path, stage: str, role: str, force: bool) -> None:
    """Allow releases to STAGE and ROLE again.

    This removes a freeze, no matter who made it. The lock of a run needs no command: it ends with the run's
    session, and the next run takes over a stale lock.
    """
    from faprelease.report.report import Report
    from faprelease.run.run import Run
    from faprelease.verbs import freeze

    freeze.unfreeze(Run.of(request(words, file, stage, role), "unfreeze", Report()), force=force)


add_renamed("lock", freeze)
add_renamed("unlock", unfreeze)

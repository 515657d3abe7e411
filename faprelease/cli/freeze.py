"""The verbs that keep everybody from releasing, and let go again: lock and unlock."""

from pathlib import Path

import click

from faprelease.cli.group import cli
from faprelease.cli.request import FLAGS, about_a_stage, request


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option("--why", required=True, metavar="TEXT", help="what whoever is refused will read")
def lock(words: tuple[str, ...], file: Path, stage: str, role: str, why: str) -> None:
    """Freeze STAGE and ROLE: nobody releases, rolls back or restarts there until `unlock`, not even you.

    It lies on the hosts, and outlives a reboot. A release that is under way goes on to its end.
    """
    from faprelease.report.report import Report
    from faprelease.run.run import Run
    from faprelease.verbs import freeze as locking

    locking.freeze(Run.of(request(words, file, stage, role), "lock", Report()), why)


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option(
    "--force", is_flag=True, help="also break the lock of a run that is under way: it publishes nothing more"
)
def unlock(words: tuple[str, ...], file: Path, stage: str, role: str, force: bool) -> None:
    """Let releases to STAGE and ROLE begin again, whoever froze it.

    The lock of a run needs no unlocking: it goes with its session, and the next run takes a stale one over.
    """
    from faprelease.report.report import Report
    from faprelease.run.run import Run
    from faprelease.verbs import freeze as locking

    locking.unfreeze(Run.of(request(words, file, stage, role), "unlock", Report()), force=force)

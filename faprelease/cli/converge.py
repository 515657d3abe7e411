"""The verb that runs on a host itself: converge."""

from pathlib import Path

import click

from faprelease.cli.group import cli
from faprelease.cli.output import allow_older, reporting, take_over, verbose
from faprelease.cli.request import FLAGS, about_a_stage, lock_wait, request

EXIT_CODES = """
\b
Exit codes:
  0    this machine runs what was promoted
  1    failed, nothing changed
  2    wrong usage or configuration
  3    held back or unhealthy; it keeps what it runs
  4    failed and rolled back
  5    locked by another run, or frozen
  6    wrong signature or digest, or the log lost entries
  7    the store can't be reached; it keeps what it runs
  130  stopped, and undone
"""


@cli.command(context_settings=FLAGS, epilog=EXIT_CODES)
@about_a_stage
@click.option("--host", default="", metavar="NAME", help="this machine's name (default: its hostname)")
@click.option("--again", is_flag=True, help="release again what was held back or is unhealthy")
@allow_older
@take_over
@click.option("--dry-run", is_flag=True, help="show what would be done")
@lock_wait
@verbose
def converge(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    host: str,
    again: bool,
    dry_run: bool,
    lock_wait: float,
) -> None:
    """Release on this machine what was promoted to STAGE.

    Run it on the host itself, by a timer or a configuration engine. It always prints its result as one JSON
    object, and records changes in the store. `hosts` and `connection` of deploy.yml are ignored, but the
    values of this host apply. A release that failed and was rolled back is tried again only after the log or
    the configuration changed, or with --again.
    """
    import msgspec

    from faprelease.verbs import converge

    with reporting() as report:
        asked = request(words, file, stage, role, dry_run=dry_run, lock_wait=lock_wait)
        told, error = converge.converge(asked, report, host=host, again=again)
        click.echo(msgspec.json.encode(told).decode())
        if error:
            raise error

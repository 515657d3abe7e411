"""The verb that runs on a host itself, converge."""

from pathlib import Path

import click

from faprelease.cli.group import cli
from faprelease.cli.output import face, take_over, verbose
from faprelease.cli.request import FLAGS, about_a_stage, lock_wait, request

EXIT_CODES = """
\b
Exit codes: 0 it runs what the stage names, 1 failed and nothing changed, 2 usage or configuration, 3 held
back or not well: it keeps what it runs, 4 failed and went back, 5 another run or a freeze holds the host,
6 a signature or digest is wrong or the log lost entries, 7 the store can't be reached: it keeps what it runs,
130 stopped, and undone.
"""


@cli.command(context_settings=FLAGS, epilog=EXIT_CODES)
@about_a_stage
@click.option("--host", default="", metavar="NAME", help="this machine's name (default: its hostname)")
@click.option("--again", is_flag=True, help="release what is held back, or does not run well")
@take_over
@click.option("--dry-run", is_flag=True, help="look, and say what would be done")
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
    """Bring this machine to what was promoted to STAGE, as one of ROLE: run it on the host, by a timer or an
    engine.

    It says how it ended in one JSON object on standard output, whatever happens, and in the store when
    something changed. `hosts` and `connection` of deploy.yml mean nothing, but the values of its own host are
    in force. What failed and went back is not tried again before the log or the configuration changes.
    """
    import msgspec

    from faprelease.verbs import converge

    with face() as report:
        asked = request(words, file, stage, role, dry_run=dry_run, lock_wait=lock_wait)
        told, error = converge.converge(asked, report, host=host, again=again)
        click.echo(msgspec.json.encode(told).decode())
        if error:
            raise error

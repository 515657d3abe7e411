"""The verbs that change what runs: release and rollback."""

from dataclasses import replace
from pathlib import Path

import click

from faprelease.cli.group import KEYS, cli
from faprelease.cli.request import FLAGS, about_a_stage, lock_wait, request

_dry_run = click.option("--dry-run", is_flag=True, help="connect, look, and print the scripts that would run")
_verbose = click.option("-v", "--verbose", is_flag=True, help="show every step and what it printed")


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@_dry_run
@click.option("--rerun", is_flag=True, help="run release_command, though nobody knows how it ended last time")
@lock_wait
@_verbose
def release(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    dry_run: bool,
    rerun: bool,
    lock_wait: float,
    verbose: bool,
) -> None:
    """Release to the hosts of STAGE and ROLE (all roles, if none is named).

    \b
      --curl-url URL       this artifact, instead of what was promoted to the stage
      --curl-sha256 HEX    the bytes that the URL must have
    """
    from faprelease import release as verbs
    from faprelease.report import Report

    asked = request(words, file, stage, role, dry_run=dry_run, lock_wait=lock_wait)
    verbs.release(replace(asked, rerun=rerun), Report(verbose=verbose))


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@click.option(
    "--to", default="", metavar="RELEASE", help="go to this release or version (default: the last good one)"
)
@click.option(
    "--config",
    type=click.Choice(["then", "current"]),
    default="then",
    help="its own configuration (default), or a new release of the same artifact with that of today",
)
@click.option("--force", is_flag=True, help="go to --to RELEASE though it was left as bad")
@_dry_run
@lock_wait
@_verbose
def rollback(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    to: str,
    config: str,
    force: bool,
    dry_run: bool,
    lock_wait: float,
    verbose: bool,
) -> None:
    """Go back to the last release that was good; nothing is downloaded.

    What is left is marked as bad, and stays for a while as evidence.
    """
    from faprelease import release as verbs
    from faprelease.report import Report

    if force and not to:
        raise click.UsageError("--force needs --to RELEASE")
    asked = request(words, file, stage, role, dry_run=dry_run, lock_wait=lock_wait)
    verbs.rollback(asked, Report(verbose=verbose), to, force=force, renew=config == "current")

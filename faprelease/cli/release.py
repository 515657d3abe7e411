"""The verbs that change what runs: release and rollback."""

from dataclasses import replace
from pathlib import Path

import click

from faprelease.cli.group import KEYS, cli
from faprelease.cli.request import FLAGS, about_a_stage, request

_dry_run = click.option("--dry-run", is_flag=True, help="connect, look, and print the scripts that would run")
_verbose = click.option("-v", "--verbose", is_flag=True, help="show every step and what it printed")


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@_dry_run
@click.option("--rerun", is_flag=True, help="run release_command, though nobody knows how it ended last time")
@_verbose
def release(
    words: tuple[str, ...], file: Path, stage: str, role: str, dry_run: bool, rerun: bool, verbose: bool
) -> None:
    """Release to the hosts of STAGE and ROLE (all roles, if none is named).

    \b
      --curl-url URL       this artifact, instead of what was promoted to the stage
      --curl-sha256 HEX    the bytes that the URL must have
    """
    from faprelease import release as verbs
    from faprelease.report import Report

    asked = replace(request(words, file, stage, role, dry_run=dry_run), rerun=rerun)
    verbs.release(asked, Report(verbose=verbose))


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@click.option("--to", default="", metavar="RELEASE", help="the release to go to (default: the last good one)")
@_dry_run
@_verbose
def rollback(
    words: tuple[str, ...], file: Path, stage: str, role: str, to: str, dry_run: bool, verbose: bool
) -> None:
    """Go back to the last release that was good; nothing is downloaded."""
    from faprelease import release as verbs
    from faprelease.report import Report

    verbs.rollback(request(words, file, stage, role, dry_run=dry_run), Report(verbose=verbose), to)

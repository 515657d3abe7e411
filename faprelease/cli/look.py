"""The verbs that only read: status."""

from pathlib import Path

import click

from faprelease.cli.group import cli
from faprelease.cli.request import FLAGS, about_a_stage, request


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option("--json", "as_json", is_flag=True, help="one JSON object a host on standard output")
def status(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool) -> None:
    """Show what every host of STAGE and ROLE runs; exit 3 if they differ."""
    from faprelease import release as verbs
    from faprelease.report import show_status

    found = verbs.status(request(words, file, stage, role))
    if not show_status(found, as_json=as_json):
        raise SystemExit(3)

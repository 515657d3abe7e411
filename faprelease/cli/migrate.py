"""The verb for people who come from another tool: migrate."""

from pathlib import Path

import click

from artifact_store.core import text
from faprelease.cli.group import cli


@cli.command()
@click.argument("file", type=Path)
@click.option(
    "-o", "--output", type=Path, default=Path("migrated"), help="write to this folder (default: migrated)"
)
@click.option("--json", "as_json", is_flag=True, help="print one JSON object per line of the old file")
def migrate(file: Path, output: Path, as_json: bool) -> None:
    """Convert another tool's files to deploy.yml and fapbuild.toml.

    FILE is fapistrano's deploy.yml, beeper.yml, or Capistrano's config/deploy.rb (its stages are read from
    config/deploy/*.rb). It reports what happened to each line: kept, changed, done by the build, dropped, or
    yours to decide. Nothing else is changed or run.
    """
    import msgspec

    from faprelease import migrate
    from faprelease.config import target as config
    from faprelease.run import run

    found = migrate.migrate(file)
    written = migrate.write(found, output)
    for each in found.findings:
        if as_json:
            click.echo(msgspec.json.encode(each).decode())
            continue
        colour = {"yours": "yellow", "build": "cyan"}.get(each.verdict)
        why = f": {text.plain(each.why)}" if each.why else ""
        click.echo(f"{each.where}: {text.plain(each.what)}  {click.style(each.verdict, fg=colour)}{why}")
    click.echo(f"written: {', '.join(map(str, written))}", err=True)
    deploy, options = run.load(written[0], {})
    for stage in deploy.values.get("stage_role_configs") or {}:
        config.targets(deploy, str(stage), None, {}, options)
    click.echo(f"see the result: faprelease -f {written[0]} --dry-run STAGE", err=True)

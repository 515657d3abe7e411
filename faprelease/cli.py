"""faprelease: release an artifact to hosts, roll back, and see what runs where."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from artifact_store.errors import FapError

_KEYS = """
Every key of deploy.yml is also a flag, which wins over the file: --keep-releases 3, --hosts a,b.
A URL given as `-` is read from standard input; FAP_CURL_URL does the same without an argument.

\b
Exit codes: 0 done or nothing to do, 1 failed and nothing changed, 2 usage or configuration, 3 partly done
or drift, 4 failed and rolled back, 5 lock held, 6 verification failed, 7 cannot connect, 130 interrupted.
"""
_EXTRA = {"ignore_unknown_options": True}


class _DefaultVerb(click.Group):
    """`faprelease production web` is `faprelease release production web`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "--version"):
            args = ["release", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_DefaultVerb, epilog=_KEYS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fapkit")
def cli() -> None:
    """Release artifacts to plain servers, and roll back.

    \b
      faprelease --curl-url URL production web    this artifact, to production's web hosts
      faprelease production                       what the stage's log says, to all its roles
      faprelease rollback production web          the last release that was good
      faprelease status production                what runs where

    `release` is the default command.
    """


def _common(function: Any) -> Any:
    for option in (
        click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="STAGE [ROLE]"),
        click.option(
            "-f",
            "-d",
            "--deployfile",
            "file",
            type=Path,
            default=Path("deploy.yml"),
            help="default: deploy.yml",
        ),
        click.option("-s", "--stage", default="", help="the same as the first argument"),
        click.option("-r", "--role", default="", help="the same as the second argument"),
    ):
        function = option(function)
    return function


@cli.command(context_settings=_EXTRA, epilog=_KEYS)
@_common
@click.option("--dry-run", is_flag=True, help="connect, look, and print the scripts that would run")
@click.option("--rerun", is_flag=True, help="run release_command, though nobody knows how it ended last time")
@click.option("-v", "--verbose", is_flag=True, help="show every step and what it printed")
def release(
    words: tuple[str, ...], file: Path, stage: str, role: str, dry_run: bool, rerun: bool, verbose: bool
) -> None:
    """Release to the hosts of STAGE and ROLE (all roles, if none is named).

    \b
      --curl-url URL       this artifact, instead of what was promoted to the stage
      --curl-sha256 HEX    the bytes that the URL must have
    """
    from faprelease import release as main_path
    from faprelease.report import Report

    request = replace(_request(words, file, stage, role, dry_run), rerun=rerun)
    main_path.release(request, Report(verbose=verbose))


@cli.command(context_settings=_EXTRA, epilog=_KEYS)
@_common
@click.option("--to", default="", metavar="RELEASE", help="the release to go to (default: the last good one)")
@click.option("--dry-run", is_flag=True, help="connect, look, and print the scripts that would run")
@click.option("-v", "--verbose", is_flag=True, help="show every step and what it printed")
def rollback(
    words: tuple[str, ...], file: Path, stage: str, role: str, to: str, dry_run: bool, verbose: bool
) -> None:
    """Go back to the last release that was good; nothing is downloaded."""
    from faprelease import release as main_path
    from faprelease.report import Report

    request = _request(words, file, stage, role, dry_run)
    main_path.rollback(request, Report(verbose=verbose), to)


@cli.command(context_settings=_EXTRA)
@_common
@click.option("--json", "as_json", is_flag=True, help="one JSON object a host on standard output")
def status(words: tuple[str, ...], file: Path, stage: str, role: str, as_json: bool) -> None:
    """Show what every host of STAGE and ROLE runs; exit 3 if they differ."""
    from faprelease import release as main_path
    from faprelease.report import show_status

    found = main_path.status(_request(words, file, stage, role, False))
    if not show_status(found, as_json=as_json):
        raise SystemExit(3)


def _request(words: tuple[str, ...], file: Path, stage: str, role: str, dry_run: bool) -> Any:
    from faprelease.release import Request

    places, flags = _split(words)
    stage = stage or (places.pop(0) if places else "")
    role = role or (places.pop(0) if places else "")
    if not stage or places:
        raise click.UsageError("name a STAGE, and a ROLE if not all of them: faprelease production web")
    if "curl_url" not in flags and os.environ.get("FAP_CURL_URL"):
        flags["curl_url"] = os.environ["FAP_CURL_URL"]
    if flags.get("curl_url") == "-":
        flags["curl_url"] = sys.stdin.readline().strip()
        if not flags["curl_url"]:
            raise click.UsageError("--curl-url - found no URL on standard input")
    return Request(file=file, stage=stage, role=role or None, flags=flags, dry_run=dry_run)


def _split(words: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
    """Stage and role, and every `--some-key value` or `--some-key=value` as a key of deploy.yml."""
    from faprelease.config import LISTS

    places: list[str] = []
    flags: dict[str, Any] = {}
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            places.append(word)
            continue
        name, equals, value = word.removeprefix("--").partition("=")
        key = name.replace("-", "_")
        text = value if equals else next(rest, None)
        if text is None:
            raise click.UsageError(f"--{name} needs a value")
        flags[key] = text.split(",") if key in LISTS else text
    return places, flags


def main() -> None:
    """The console script: the only place that prints errors and chooses the exit code."""
    try:
        cli(prog_name="faprelease", standalone_mode=False)
    except FapError as error:
        click.echo(f"{click.style('error', fg='red')}: {error.message}", err=True)
        if error.hint:
            click.echo(f"{click.style('hint', fg='cyan')}: {error.hint}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; see what is where: faprelease status STAGE", err=True)
        sys.exit(130)

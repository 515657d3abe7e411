"""The arguments and flags that verbs share, and the `Request` they become."""

import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from faprelease.cli.completion import complete_place
from faprelease.cli.flags import split
from faprelease.cli.output import kept_flag

if TYPE_CHECKING:
    from faprelease.request import Request

F = TypeVar("F", bound=Callable[..., Any])
FLAGS = {"ignore_unknown_options": True}
"""The context settings of a command that takes keys of deploy.yml as flags."""


def about_a_stage(function: F) -> F:
    """Give a command `STAGE [ROLE]`, -f, -s and -r: its first parameters `words`, `file`, `stage`, `role`.

    With --all-stages it runs once for each stage that has the role, up to the first that fails.
    """

    @wraps(function)
    def for_each_stage(*, all_stages: bool, **given: Any) -> None:
        stages = _stages_with(given) if all_stages else [given["stage"]]
        for stage in stages:
            if all_stages:
                click.echo(f"stage {stage}", err=True)
            function(**{**given, "stage": stage})

    decorated: Any = for_each_stage
    for option in (
        click.argument(
            "words",
            nargs=-1,
            type=click.UNPROCESSED,
            metavar="STAGE [ROLE]",
            shell_complete=complete_place,
        ),
        click.option(
            "-f",
            "-d",
            "--deployfile",
            "file",
            type=Path,
            default=Path("deploy.yml"),
            help="(default: deploy.yml)",
        ),
        click.option(
            "-s",
            "--stage",
            default="",
            help="stage (same as the first argument)",
            shell_complete=complete_place,
        ),
        click.option(
            "-r",
            "--role",
            default="",
            help="role (same as the second argument)",
            shell_complete=complete_place,
        ),
        click.option("--all-stages", is_flag=True, help="one stage after another; needs -r ROLE"),
    ):
        decorated = option(decorated)
    return cast(F, decorated)


def _stages_with(given: Mapping[str, Any]) -> list[str]:
    """The stages of the file that have the role."""
    from faprelease.config import deployfile
    from faprelease.config import target as config
    from faprelease.plugins import registry

    places, _ = split(given["words"], given["file"])
    role = given["role"] or (places[0] if places else "")
    if given["stage"] or not role or len(places) > (not given["role"]):
        raise click.UsageError("--all-stages takes a role and no stage: faprelease --all-stages -r web")
    file = deployfile.read(given["file"])
    found = [
        name
        for name, stage in config.stages_of(file, registry.options_of(file)).items()
        if role in stage.roles
    ]
    if not found:
        raise click.UsageError(f"no stage of {given['file']} has a role {role}")
    return found


lock_wait = click.option(
    "--lock-wait",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="wait for another run to finish (default: 0)",
)


def request(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    *,
    dry_run: bool = False,
    lock_wait: float = 0,
) -> "Request":
    """Return what the command line asks for; raises click.UsageError without a stage."""
    from faprelease.request import Request

    places, flags = places_and_flags(words, file)
    stage = stage or (places.pop(0) if places else "")
    role = role or (places.pop(0) if places else "")
    if role and not stage:
        raise click.UsageError(f"name a stage, or give --all-stages: faprelease STAGE {role}")
    if not stage or places:
        raise click.UsageError("name a STAGE, and maybe a ROLE: faprelease production web")
    return Request(
        file=file,
        stage=stage,
        role=role or None,
        flags=flags,
        dry_run=dry_run,
        lock_wait=lock_wait,
        scripts=kept_flag("verbose"),
        confirmed=kept_flag("yes"),
        allow_older=kept_flag("allow_older"),
        take_over=kept_flag("take_over"),
    )


def places_and_flags(words: tuple[str, ...], file: Path) -> tuple[list[str], dict[str, Any]]:
    """Split the arguments from the flags (by key); the URL may come from FAP_CURL_URL or standard input."""
    places, flags = split(words, file)
    if "curl_url" not in flags and os.environ.get("FAP_CURL_URL"):
        flags["curl_url"] = os.environ["FAP_CURL_URL"]
    if flags.get("curl_url") == "-":
        flags["curl_url"] = sys.stdin.readline().strip()
        if not flags["curl_url"]:
            raise click.UsageError("--curl-url - found no URL on standard input")
    return places, flags

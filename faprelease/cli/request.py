"""The words and flags that verbs have in common, and the `Request` they become."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from faprelease.walk import Request

F = TypeVar("F", bound=Callable[..., Any])
FLAGS = {"ignore_unknown_options": True}
"""The context settings of a command that takes keys of deploy.yml as flags."""


def about_a_stage(function: F) -> F:
    """Give a command `STAGE [ROLE]`, -f, -s and -r: its first parameters `words`, `file`, `stage`, `role`."""
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


lock_wait = click.option(
    "--lock-wait",
    type=click.FloatRange(min=0),
    default=0,
    metavar="SECONDS",
    help="wait so long for another run on these hosts to end (default: do not wait)",
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
    """What the command line asks for; raises click.UsageError for words that say no stage, or too much."""
    from faprelease.walk import Request

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
    return Request(
        file=file, stage=stage, role=role or None, flags=flags, dry_run=dry_run, lock_wait=lock_wait
    )


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

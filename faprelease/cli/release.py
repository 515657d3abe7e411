"""The verbs that change what runs: release, rollback and sync, and a release in two parts: plan and apply."""

from dataclasses import replace
from pathlib import Path

import click

from faprelease.cli.group import KEYS, cli
from faprelease.cli.output import face, kept_flag, take_over, with_face
from faprelease.cli.request import FLAGS, about_a_stage, lock_wait, places_and_flags, request

_dry_run = click.option(
    "--dry-run", is_flag=True, help="connect, look, and show what would be done; -v: the scripts"
)
_output = click.option(
    "-o",
    "--output",
    type=Path,
    metavar="FILE",
    help="keep the plan in a file for `faprelease apply`, and change nothing",
)
_rerun = click.option(
    "--rerun", is_flag=True, help="run release_command, though nobody knows how it ended last time"
)


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@_dry_run
@_rerun
@lock_wait
@take_over
@with_face
def release(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    dry_run: bool,
    rerun: bool,
    lock_wait: float,
) -> None:
    """Release to the hosts of STAGE and ROLE (all roles, if none is named).

    \b
      --curl-url URL       this artifact, instead of what was promoted to the stage
      --curl-sha256 HEX    the bytes that the URL must have
    """
    from faprelease.verbs import release

    with face() as report:
        asked = request(words, file, stage, role, dry_run=dry_run, lock_wait=lock_wait)
        release.release(replace(asked, rerun=rerun), report)


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
@_output
@lock_wait
@take_over
@with_face
def rollback(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    to: str,
    config: str,
    force: bool,
    dry_run: bool,
    output: Path | None,
    lock_wait: float,
) -> None:
    """Go back to the last release that was good; nothing is downloaded.

    What is left is marked as bad, and stays for a while as evidence. With -o nothing is changed, and the plan
    is kept for `faprelease apply FILE`.
    """
    from faprelease.verbs import release

    if force and not to:
        raise click.UsageError("--force needs --to RELEASE")
    with face() as report:
        asked = request(words, file, stage, role, dry_run=dry_run or output is not None, lock_wait=lock_wait)
        release.rollback(replace(asked, output=output), report, to, force=force, renew=config == "current")


@cli.command(context_settings=FLAGS)
@about_a_stage
@_output
@_rerun
@with_face
def plan(words: tuple[str, ...], file: Path, stage: str, role: str, output: Path | None, rerun: bool) -> None:
    """Connect, look, and show what a release would do on each host; -v shows the very scripts.

    Nothing is changed and no lock is taken. With -o the plan is kept, without any secret.
    """
    from faprelease.verbs import release

    with face() as report:
        asked = request(words, file, stage, role, dry_run=True)
        release.release(replace(asked, rerun=rerun, output=output), report)


@cli.command(context_settings=FLAGS)
@click.argument("file", type=Path)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS]")
@lock_wait
@with_face
def apply(file: Path, words: tuple[str, ...], lock_wait: float) -> None:
    """Carry out the plan that `faprelease plan -o FILE` or `rollback -o FILE` kept, as it is, or not at all.

    It is refused if the hosts, deploy.yml, the artifact, a secret or fapkit itself changed since. Flags that
    may hold a secret are not in the file, and are given again.
    """
    from faprelease.plan import saved
    from faprelease.verbs import release

    with face() as report:
        planned = saved.read(file)
        places, flags = places_and_flags(words, Path(planned.file))
        if places:
            raise click.UsageError(f"the plan says where: {' '.join(places)} is too much")
        asked = saved.request_of(planned, flags, confirmed=kept_flag("yes"))
        release.apply(planned, replace(asked, lock_wait=lock_wait), report)


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@_dry_run
@lock_wait
@take_over
@with_face
def sync(words: tuple[str, ...], file: Path, stage: str, role: str, dry_run: bool, lock_wait: float) -> None:
    """Bring new and lagging hosts to what the others run; those that are right are not touched.

    Where the hosts run several artifacts, or none, it is what was promoted to the stage. Without a store,
    give the --curl-url of what they run.
    """
    from faprelease.verbs import sync

    with face() as report:
        sync.sync(request(words, file, stage, role, dry_run=dry_run, lock_wait=lock_wait), report)

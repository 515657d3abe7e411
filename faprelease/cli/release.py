"""The verbs that release: release, rollback and sync, and a release in two steps: plan and apply."""

from dataclasses import replace
from pathlib import Path

import click

from faprelease.cli.group import KEYS, cli
from faprelease.cli.output import allow_older, kept_flag, output_flags, reporting, take_over
from faprelease.cli.request import FLAGS, about_a_stage, lock_wait, places_and_flags, request

_dry_run = click.option("--dry-run", is_flag=True, help="show what would change; with -v, also the scripts")
_output = click.option(
    "-o",
    "--output",
    type=Path,
    metavar="FILE",
    help="save the plan for `faprelease apply`, change nothing",
)
_again = click.option("--again", is_flag=True, help="release what someone rolled back from")
_rerun = click.option("--rerun", is_flag=True, help="run release_command even if its last outcome is unknown")


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@_dry_run
@_rerun
@_again
@lock_wait
@allow_older
@take_over
@output_flags
def release(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    dry_run: bool,
    rerun: bool,
    again: bool,
    lock_wait: float,
) -> None:
    """Release to the hosts of STAGE and ROLE (default: all roles).

    \b
      --curl-url URL     release this artifact, not the promoted one
                         (-: read it from standard input; or FAP_CURL_URL)
      --curl-sha256 HEX  the sha256 that it must have
      --curl-root HEX    its root: hosts fetch and check only what they use
    """
    from faprelease.verbs import release

    with reporting() as report:
        asked = request(words, file, stage, role, dry_run=dry_run, lock_wait=lock_wait)
        release.release(replace(asked, rerun=rerun, again=again), report)


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@click.option("--to", default="", metavar="RELEASE", help="a release or version (default: the last good one)")
@click.option(
    "--config",
    type=click.Choice(["then", "current"]),
    default="then",
    help="the configuration of then (default), or the current one",
)
@click.option("--force", is_flag=True, help="allow --to RELEASE even if it is marked bad")
@click.option("--with-store", is_flag=True, help="point the stage in the store back too")
@_dry_run
@_output
@lock_wait
@take_over
@output_flags
def rollback(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    to: str,
    config: str,
    force: bool,
    with_store: bool,
    dry_run: bool,
    output: Path | None,
    lock_wait: float,
) -> None:
    """Roll back to the last good release.

    Nothing is downloaded. The release you leave is marked bad and kept for a while for inspection; to release
    its artifact again, `faprelease --again` is needed. The stage in the store keeps its version, unless you
    agree when asked, or give --with-store. With `--config current` the old artifact becomes a new release
    with the current configuration. With -o nothing is changed, and the plan is saved for `faprelease apply
    FILE`.
    """
    from faprelease.verbs import release

    if force and not to:
        raise click.UsageError("--force needs --to RELEASE")
    with reporting() as report:
        asked = request(words, file, stage, role, dry_run=dry_run or output is not None, lock_wait=lock_wait)
        release.rollback(
            replace(asked, output=output),
            report,
            to,
            force=force,
            renew=config == "current",
            with_store=with_store,
        )


@cli.command(context_settings=FLAGS)
@about_a_stage
@_output
@_rerun
@_again
@allow_older
@take_over
@output_flags
def plan(
    words: tuple[str, ...], file: Path, stage: str, role: str, output: Path | None, rerun: bool, again: bool
) -> None:
    """Show what a release would change on each host.

    It connects and inspects the hosts; nothing is changed and no lock is taken. With -v the scripts are
    shown. With -o the plan is saved, without any secret.
    """
    from faprelease.verbs import release

    with reporting() as report:
        asked = request(words, file, stage, role, dry_run=True)
        release.release(replace(asked, rerun=rerun, again=again, output=output), report)


@cli.command(context_settings=FLAGS)
@click.argument("file", type=Path)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS]")
@lock_wait
@output_flags
def apply(file: Path, words: tuple[str, ...], lock_wait: float) -> None:
    """Apply a saved plan, exactly as it is.

    FILE comes from `faprelease plan -o FILE` or `faprelease rollback -o FILE`. It is refused if the hosts,
    deploy.yml, the artifact, a secret or fapkit itself changed since. Flags that may hold a secret are not in
    the file: give them again.
    """
    from faprelease.plan import saved
    from faprelease.verbs import release

    with reporting() as report:
        planned = saved.read(file)
        places, flags = places_and_flags(words, Path(planned.file))
        if places:
            raise click.UsageError(f"the plan names the stage: leave out {' '.join(places)}")
        asked = saved.request_of(planned, flags, confirmed=kept_flag("yes"))
        release.apply(planned, replace(asked, lock_wait=lock_wait), report)


@cli.command(context_settings=FLAGS, epilog=KEYS)
@about_a_stage
@click.option("--reinstall", is_flag=True, help="also to hosts that run it: they were upgraded")
@_dry_run
@lock_wait
@allow_older
@take_over
@output_flags
def sync(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    reinstall: bool,
    dry_run: bool,
    lock_wait: float,
) -> None:
    """Release to new and lagging hosts what the others run.

    Hosts that already run it are not touched, except with --reinstall, which installs the same artifact
    again for the Python that a host has now. If the hosts run different artifacts, or none, it is what was
    promoted to the stage. Without a store, give the --curl-url of what they run.
    """
    from faprelease.verbs import sync

    with reporting() as report:
        asked = request(words, file, stage, role, dry_run=dry_run, lock_wait=lock_wait)
        sync.sync(replace(asked, reinstall=reinstall), report)

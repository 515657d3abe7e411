"""The verbs that act on the live release: once, shell, logs and restart."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from artifact_store.core.duration import moment
from faprelease.cli.group import cli, echo
from faprelease.cli.output import output_flags, reporting
from faprelease.cli.request import FLAGS, about_a_stage, lock_wait, request

if TYPE_CHECKING:
    from faprelease.request import Request
    from faprelease.verbs.once import Where

_on = click.option("--on", default="", metavar="HOST", help="on this host (default: the first of the role)")
_everywhere = click.option("--everywhere", is_flag=True, help="on all hosts, one after another")
_release = click.option("--release", default="", metavar="ID", help="in this release (default: the live one)")


def time_since(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Parse the option --since."""
    try:
        return moment(value, datetime.now(UTC)) if value else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


class _WithCommand(click.Command):
    """What stands after `--` is a command with flags of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = args[args.index("--") + 1 :] if "--" in args else []
        ctx.meta["faprelease.command"] = own
        return super().parse_args(ctx, args[: len(args) - len(own)])


@cli.command(cls=_WithCommand, context_settings=FLAGS)
@about_a_stage
@click.option("--command", default="", metavar="TEXT", help="a shell command; or put it after --")
@click.option(
    "--schedule", default="", metavar="NAME", help="run this schedule now, on the host that runs it"
)
@_on
@_everywhere
@_release
@click.option(
    "--curl-url",
    default="",
    metavar="URL",
    help="run it in a separate release of this artifact (-: URL from standard input)",
)
@click.option("--curl-sha256", default="", metavar="HEX", help="the sha256 that the artifact must have")
@click.option("--keep", is_flag=True, help="keep that separate release (default: remove it)")
@click.pass_context
def once(
    ctx: click.Context,
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    command: str,
    schedule: str,
    on: str,
    everywhere: bool,
    release: str,
    curl_url: str,
    curl_sha256: str,
    keep: bool,
) -> None:
    """Run a command in the live release of STAGE ROLE.

    \b
      faprelease once production web --command 'manage.py migrate --plan'
      faprelease once production web -- manage.py shell
      faprelease once --schedule nightly production web
      faprelease once --curl-url URL production web -- manage.py check

    It runs with the release's folder, environment, venv and user, and with a terminal if you have one.
    faprelease exits with its exit code. Ctrl-C is passed on; if the connection drops, the command gets
    SIGHUP. The ledger notes who ran what, without arguments. If the command changed files of the release,
    they are listed, and the exit code is 3 instead of 0.

    With --curl-url it runs in a separate release on one host, made for it with the shared files and the
    environment, but without plugins and preflight. Nothing that runs is touched.
    """
    from faprelease.verbs.once import Where, command_of_schedule, title_of

    argv = ctx.meta["faprelease.command"]
    if bool(argv) + bool(command) + bool(schedule) != 1:
        raise click.UsageError(
            "give one command: --command TEXT, or --schedule NAME, or -- COMMAND [ARGUMENTS]"
        )
    where = Where(host=on, everywhere=everywhere, release=release, of_schedules=bool(schedule))
    if schedule:
        if everywhere or curl_url:
            raise click.UsageError("--schedule is for one host, and a release that has it")
        _run(
            _of_a_role(words, file, stage, role),
            command_of_schedule(schedule),
            where,
            f"schedule {schedule}",
            "once",
        )
    title, argv = title_of(argv or command.split()), argv or ["/bin/sh", "-c", command]
    if not curl_url:
        if curl_sha256 or keep:
            raise click.UsageError("--curl-sha256 and --keep need --curl-url")
        _run(_of_a_role(words, file, stage, role), argv, where, title, "once")
    if everywhere or release:
        raise click.UsageError(
            "--curl-url is for one host and a separate release: no --everywhere, no --release"
        )
    from faprelease.report.report import Report
    from faprelease.run.run import Run
    from faprelease.verbs.trial import once_elsewhere

    words = (*words, "--curl-url", curl_url, *(("--curl-sha256", curl_sha256) if curl_sha256 else ()))
    run = Run.of(_of_a_role(words, file, stage, role), "once", Report(), use="release")
    sys.exit(once_elsewhere(run, argv, on, keep=keep, title=title))


@cli.command(context_settings=FLAGS)
@about_a_stage
@_on
@_release
def shell(words: tuple[str, ...], file: Path, stage: str, role: str, on: str, release: str) -> None:
    """Open a shell in the live release of STAGE ROLE.

    It has the release's folder, environment, venv and user.
    """
    from faprelease.verbs.once import SHELL, Where

    if not sys.stdin.isatty():
        raise click.UsageError("shell needs a terminal; to run one command: faprelease once")
    asked = _of_a_role(words, file, stage, role)
    _run(asked, SHELL, Where(host=on, release=release), "shell", "shell")


@cli.command(context_settings=FLAGS)
@about_a_stage
@click.option("--follow", is_flag=True, help="keep printing as the log grows")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=1),
    metavar="LINES",
    help="the last lines of each log (default: 100; with --since: all)",
)
@click.option(
    "--since", callback=time_since, metavar="TIME", help="lines since: 10m, 2h, 1d (ago) or 2026-11-30T18:20"
)
@click.option("--grep", default="", metavar="TEXT", help="only lines with this text")
@_on
@click.option("--everywhere", is_flag=True, help="of all hosts, each line after the name of its host")
def logs(
    words: tuple[str, ...],
    file: Path,
    stage: str,
    role: str,
    follow: bool,
    lines: int | None,
    since: datetime | None,
    grep: str,
    on: str,
    everywhere: bool,
) -> None:
    """Show the logs of the processes on STAGE ROLE.

    \b
      faprelease logs production web --since 10m --grep ERROR --everywhere

    They come from the process manager (the plugins supervisorctl and systemd). For logs of supervisor and of
    schedules, --since reads the time in each line; a line without one belongs to the line before it. With
    --follow, systemd counts the LINES before --grep.
    """
    from faprelease.plugins.hooks import LogLines
    from faprelease.report.report import Report
    from faprelease.run.run import Run
    from faprelease.verbs import once

    if not file.exists() and file.suffix not in (".yml", ".yaml"):
        raise click.UsageError(f"{file} does not exist; -f names the deploy.yml, and --follow has no letter")
    if on and everywhere:
        raise click.UsageError("--on is for one host, and --everywhere for all")
    wanted = LogLines(
        lines=lines or (0 if since else LogLines().lines),
        since=int(since.timestamp()) if since else 0,
        grep=grep,
        follow=follow,
    )
    run = Run.of(_of_a_role(words, file, stage, role), "logs", Report())
    sys.exit(once.logs(run, once.Where(host=on, everywhere=everywhere), wanted, _beside))


@cli.command(context_settings=FLAGS)
@about_a_stage
@lock_wait
@output_flags
def restart(words: tuple[str, ...], file: Path, stage: str, role: str, lock_wait: float) -> None:
    """Restart the processes on STAGE and ROLE.

    Hosts are restarted batch by batch, each with the health checks of a release. A batch that fails stops the
    run: the hosts after it are not touched. Nothing is released.
    """
    from faprelease.verbs import release

    with reporting() as report:
        release.restart(request(words, file, stage, role, lock_wait=lock_wait), report)


def _beside(host: str, line: str, err: bool) -> None:
    echo(f"{host} | {line}", err=err)


def _run(asked: "Request", argv: Sequence[str], where: "Where", title: str, event: str) -> NoReturn:
    from faprelease.report.report import Report
    from faprelease.run.run import Run
    from faprelease.verbs import once

    sys.exit(once.once(Run.of(asked, event, Report()), argv, where, title=title, event=event))


def _of_a_role(words: tuple[str, ...], file: Path, stage: str, role: str) -> "Request":
    asked = request(words, file, stage, role)
    if not asked.role:
        raise click.UsageError("name a ROLE too: faprelease once production web …")
    return asked

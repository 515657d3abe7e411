"""`fapstore`: put artifacts in a store, find them, promote them. stdout is data, stderr is talk."""

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from artifact_store import actor, wording
from artifact_store.errors import FapError, NotFoundError, UsageError
from artifact_store.store import Change, Store, open_store

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
why_option = click.option("--why", default="", help="The reason, for the history.")


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", value)
    if not match:
        raise click.BadParameter(f"{value!r} is no duration: write 30m, 1h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--store",
    "url",
    envvar="FAP_STORE",
    metavar="URL",
    default="",
    show_envvar=True,
    help="s3://bucket/prefix, file:///dir, or https://host/path to read.",
)
@click.version_option(package_name="fapkit", prog_name="fapstore")
@click.pass_context
def fapstore(context: click.Context, url: str) -> None:
    """Immutable artifacts, and the logs of the stages that run them."""
    context.obj = lambda: open_store(url)


Open = Callable[[], Store]


@fapstore.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def push(opened: Open, artifact: Path, as_json: bool) -> None:
    """Store an artifact under the version its manifest names."""
    record = opened().publish(artifact, actor.who(), actor.ci_run())
    _say(f"{'pushed' if record.created else 'already there:'} {record.app} {record.version}")
    _print(record, as_json, f"{record.app} {record.version} {record.digest}")


@fapstore.command("list")
@click.argument("app", required=False)
@json_option
@click.pass_obj
def list_(opened: Open, app: str | None, as_json: bool) -> None:
    """List the versions of an app, or the apps."""
    store = opened()
    if app is None:
        apps = store.apps()
        _print(apps, as_json, *apps)
        if not apps:
            _say(f"{store.name} holds no app yet")
        return
    records = store.list(app)
    if not records:
        raise NotFoundError(f"{store.name} holds no version of {app}", hint="fapstore list")
    _print(
        records,
        as_json,
        *(wording.version(record, _now()) for record in records),
    )


@fapstore.command()
@click.argument("app")
@click.argument("version")
@json_option
@click.pass_obj
def show(opened: Open, app: str, version: str, as_json: bool) -> None:
    """Show what is known of a version."""
    record = opened().artifact(app, version)
    fields = msgspec.to_builtins(record)
    _print(record, as_json, *(f"{name:<10} {value}" for name, value in fields.items() if value))


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path(), help="A file or a folder.")
@json_option
@click.pass_obj
def fetch(opened: Open, app: str, version: str, output: Path, as_json: bool) -> None:
    """Download a version; the file appears once its sha256 is right."""
    path = opened().fetch(app, version, output)
    _print({"path": str(path)}, as_json, str(path))


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option(
    "--expires",
    metavar="TIME",
    callback=_duration,
    default="1h",
    show_default=True,
    help="How long S3 honours it.",
)
@click.option("--faprelease", "as_command", is_flag=True, help="Print the command that releases it.")
@json_option
@click.pass_obj
def url(opened: Open, app: str, version: str, expires: timedelta, as_command: bool, as_json: bool) -> None:
    """Print a URL to download a version from; on S3 it is presigned, so a secret.

    When it ends is told on stderr: a URL signed with a session's credentials ends with the session.
    """
    store = opened()
    link = store.link(app, version, expires)
    digest = store.artifact(app, version).digest
    command = f"faprelease --curl-url {shlex.quote(link.url)} --curl-sha256 {digest}"
    _say(wording.until(link, _now()))
    if as_command:
        _say("add the stage and the role: … production web")
    told = {"url": link.url, "sha256": digest, "until": link.until, "session": link.session}
    _print({**told, "faprelease": command}, as_json, command if as_command else link.url)


@fapstore.command()
@click.argument("app")
@click.argument("version", required=False)
@click.argument("stage", required=False)
@click.option("--from", "source", metavar="STAGE", help="Promote what this stage runs …")
@click.option("--to", "target", metavar="STAGE", help="… to this one.")
@why_option
@json_option
@click.pass_obj
def promote(
    opened: Open,
    app: str,
    version: str | None,
    stage: str | None,
    source: str | None,
    target: str | None,
    why: str,
    as_json: bool,
) -> None:
    """Make a version what a stage should run; no bytes move.

    APP VERSION STAGE, or APP --from STAGE --to STAGE.
    """
    store = opened()
    if version and stage and not (source or target):
        change = store.promote(app, version, stage, who=actor.who(), why=why, ci=actor.ci_run())
    elif source and target and not version:
        at_source = store.stage(app, source)
        if at_source is None:
            raise NotFoundError(f"{app} {source} runs nothing yet", hint=f"fapstore stages {app}")
        change = store.promote(
            app, at_source.version, target, who=actor.who(), why=why, source=source, ci=actor.ci_run()
        )
    else:
        raise UsageError(
            "promote what, to which stage?",
            hint="fapstore promote APP VERSION STAGE, or: fapstore promote APP --from STAGE --to STAGE",
        )
    _report(change, as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@click.option(
    "--to", "version", metavar="VERSION", help="A version of the stage's past.  [default: the one before]"
)
@why_option
@json_option
@click.pass_obj
def rollback(opened: Open, app: str, stage: str, version: str | None, why: str, as_json: bool) -> None:
    """Make the version before what a stage should run."""
    _report(opened().rollback(app, stage, who=actor.who(), why=why, to=version, ci=actor.ci_run()), as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@click.option("--why", required=True, help="The reason, shown to who is refused.")
@json_option
@click.pass_obj
def freeze(opened: Open, app: str, stage: str, why: str, as_json: bool) -> None:
    """Refuse promotions and rollbacks of a stage."""
    _report(opened().freeze(app, stage, who=actor.who(), why=why, ci=actor.ci_run()), as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@why_option
@json_option
@click.pass_obj
def unfreeze(opened: Open, app: str, stage: str, why: str, as_json: bool) -> None:
    """Allow them again."""
    _report(opened().unfreeze(app, stage, who=actor.who(), why=why, ci=actor.ci_run()), as_json)


@fapstore.command()
@click.argument("app")
@json_option
@click.pass_obj
def stages(opened: Open, app: str, as_json: bool) -> None:
    """Show what each stage of an app should run."""
    store = opened()
    states = store.stages(app)
    if not states:
        raise NotFoundError(f"{store.name}: nothing was promoted to a stage of {app}", hint="fapstore list")
    _print(states, as_json, *(f"{s.stage:<16} {wording.state(s, _now())}" for s in states))


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@json_option
@click.pass_obj
def history(opened: Open, app: str, stage: str, as_json: bool) -> None:
    """Tell a stage's history, the newest entry first."""
    store = opened()
    states = store.history(app, stage)[::-1]
    if not states:
        raise NotFoundError(
            f"{store.name}: nothing was ever promoted to {app} {stage}", hint=f"fapstore stages {app}"
        )
    _print(states, as_json, *(f"{s.number:>4}  {wording.sentence(s, _now())}" for s in states))


@fapstore.command()
@click.argument("app")
@click.argument("source", metavar="STAGE")
@click.argument("target", metavar="STAGE")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="A clone that has the commits.  [default: this folder]",
)
@json_option
@click.pass_obj
def diff(opened: Open, app: str, source: str, target: str, repository: Path, as_json: bool) -> None:
    """Tell what promoting from the first stage to the second would bring.

    Versions, commits, dependencies and sizes: `fapstore diff shop staging production`. Of the artifacts only
    the manifests are read.
    """
    from artifact_store import stagediff

    found = stagediff.look(opened(), app, source, target, repository)
    _print(stagediff.facts(found), as_json, *stagediff.lines(found, _now()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `fapstore`; print errors with what to type next, and exit with their code."""
    try:
        sys.exit(fapstore.main(arguments, prog_name="fapstore", standalone_mode=False))
    except FapError as error:
        _say(f"fapstore: {error.message}")
        if error.hint:
            _say(f"hint: {_with_store(error.hint, sys.argv[1:] if arguments is None else arguments)}")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except OSError as error:
        _say(f"fapstore: {error}")
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        _say("fapstore: interrupted")
        sys.exit(130)


def _with_store(hint: str, arguments: Sequence[str]) -> str:
    """The hint as it can be typed: with the store, if that was named by the option."""
    first, second = [*arguments, "", ""][:2]
    option, _, url = first.partition("=")
    if option != "--store":
        return hint
    return hint.replace("fapstore ", f"fapstore --store {shlex.quote(url or second)} ")


def _now() -> datetime:
    return datetime.now(UTC)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(value: object, as_json: bool, *lines: str) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
        return
    for line in lines:
        click.echo(wording.printable(line))


def _report(change: Change, as_json: bool) -> None:
    _say("done" if change.changed else "nothing to do: it is so already")
    _print(change, as_json, f"{change.state.stage} {wording.state(change.state, _now())}")

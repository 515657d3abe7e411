"""Versions: put them into a store, find them, get them out."""

import shlex
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from artifact_store.cli.group import Opener, duration, fapstore, json_option, now, say, tell
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError
from artifact_store.core.hints import Hint
from artifact_store.store.publish import open_upload
from artifact_store.views import wording


@fapstore.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def push(opened: Opener, artifact: Path, as_json: bool) -> None:
    """Store an artifact under the version its manifest names."""
    with open_upload(artifact) as upload:  # the file is read while the store is opened
        record = opened().artifacts.publish(upload, Actor.current())
    say(f"{'pushed' if record.created else 'already there:'} {record.app} {record.version}")
    tell(record, as_json, f"{record.app} {record.version} {record.digest}")


@fapstore.command("list")
@click.argument("app", required=False)
@click.option(
    "-n",
    "--last",
    type=click.IntRange(min=1),
    help="List so many versions, the last ones.  [default: 50, or all with --json]",
)
@click.option("--all", "every", is_flag=True, help="List all versions.")
@json_option
@click.pass_obj
def list_(opened: Opener, app: str | None, last: int | None, every: bool, as_json: bool) -> None:
    """List the last versions of an app, or the apps."""
    store = opened()
    if app is None:
        apps = store.artifacts.apps()
        tell(apps, as_json, *apps)
        if not apps:
            say(f"{store.name} holds no app yet")
        return
    shown = None if every or (as_json and last is None) else last or 50
    records = store.artifacts.list(app, shown and shown + 1)
    if shown and len(records) > shown:
        records = records[1:]
        say("there are older ones: --all")
    if not records:
        raise NotFoundError(f"{store.name} holds no version of {app}", hint=Hint("{fapstore} list"))
    tell(
        records,
        as_json,
        *(wording.version(record, now()) for record in records),
    )


@fapstore.command()
@click.argument("app")
@click.argument("version")
@json_option
@click.pass_obj
def show(opened: Opener, app: str, version: str, as_json: bool) -> None:
    """Show what is known of a version."""
    record = opened().artifacts.get(app, version)
    fields = msgspec.to_builtins(record)
    tell(record, as_json, *(f"{name:<10} {value}" for name, value in fields.items() if value))


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path(), help="A file or a folder.")
@json_option
@click.pass_obj
def fetch(opened: Opener, app: str, version: str, output: Path, as_json: bool) -> None:
    """Download a version; the file appears once its sha256 is right."""
    path = opened().artifacts.fetch(app, version, output)
    tell({"path": str(path)}, as_json, str(path))


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option(
    "--expires",
    metavar="TIME",
    callback=duration,
    default="1h",
    show_default=True,
    help="How long S3 honours it.",
)
@click.option("--faprelease", "as_command", is_flag=True, help="Print the command that releases it.")
@json_option
@click.pass_obj
def url(opened: Opener, app: str, version: str, expires: timedelta, as_command: bool, as_json: bool) -> None:
    """Print a URL to download a version from; on S3 it is presigned, so a secret.

    When it ends is told on stderr: a URL signed with a session's credentials ends with the session.
    """
    store = opened()
    link = store.artifacts.link(app, version, expires)
    digest = store.artifacts.get(app, version).digest
    command = f"faprelease --curl-url {shlex.quote(link.url)} --curl-sha256 {digest}"
    say(wording.until(link, now()))
    if as_command:
        say("add the stage and the role: … production web")
    told = {"url": link.url, "sha256": digest, "until": link.until, "session": link.session}
    tell({**told, "faprelease": command}, as_json, command if as_command else link.url)

"""Commands for versions: push, list, show, fetch, url."""

import shlex
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from artifact_store.cli.group import Opener, duration, emit, fapstore, json_option, now, say
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError
from artifact_store.core.hints import Hint
from artifact_store.store.publish import open_upload
from artifact_store.store.store import Store
from artifact_store.views import wording


@fapstore.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def push(opener: Opener, artifact: Path, as_json: bool) -> None:
    """Store an artifact.

    The app and version are those in its manifest. Pushing the same bytes again changes nothing.
    """
    with open_upload(artifact) as upload:  # the file is read while the store is opened
        record = opener().artifacts.publish(upload, Actor.current())
    say(f"{'pushed' if record.created else 'already there:'} {record.app} {record.version}")
    emit(record, as_json, f"{record.app} {record.version} {record.digest}")


@fapstore.command("list")
@click.argument("app", required=False)
@click.option(
    "-n",
    "--last",
    metavar="N",
    type=click.IntRange(min=1),
    help="Show only the last N versions.  [default: 50, or all with --json]",
)
@click.option("--all", "every", is_flag=True, help="Show all versions.")
@json_option
@click.pass_obj
def list_(opener: Opener, app: str | None, last: int | None, every: bool, as_json: bool) -> None:
    """List the versions of an app, or all apps.

    With --all, the lines come from one listing of the store, so that they are there at once: they do not name
    who pushed. --json has the whole record of each version.
    """
    store = opener()
    if app is None:
        apps = store.artifacts.apps()
        emit(apps, as_json, *apps)
        if not apps:
            say(f"{store.name} contains no apps yet")
        return
    if every and not as_json:
        stored = store.artifacts.stored(app)
        emit(stored, as_json, *(wording.stored(one, now()) for one in stored))
        if not stored:
            raise _empty(store, app)
        return
    limit = None if every or (as_json and last is None) else last or 50
    records = store.artifacts.list(app, limit and limit + 1)
    for problem in store.artifacts.passed_over:
        say(problem)
    if limit and len(records) > limit:
        records = records[1:]
        say("older versions are not shown; --all shows them")
    if not records:
        raise _empty(store, app)
    removed = {record.version: store.artifacts.is_removed(record) for record in records}
    emit(
        [{**msgspec.to_builtins(record), "removed": removed[record.version]} for record in records],
        as_json,
        *(wording.version(record, now()) + ", removed" * removed[record.version] for record in records),
    )


@fapstore.command()
@click.argument("app")
@click.argument("version")
@json_option
@click.pass_obj
def show(opener: Opener, app: str, version: str, as_json: bool) -> None:
    """Show details of a version."""
    record = opener().artifacts.get(app, version)
    fields = msgspec.to_builtins(record)
    emit(record, as_json, *(f"{name:<10} {value}" for name, value in fields.items() if value))


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path(),
    help="File or folder to write to.  [default: this folder]",
)
@json_option
@click.pass_obj
def fetch(opener: Opener, app: str, version: str, output: Path, as_json: bool) -> None:
    """Download a version.

    The file appears only after its sha256 was checked.
    """
    path = opener().artifacts.fetch(app, version, output)
    emit({"path": str(path)}, as_json, str(path))


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option(
    "--expires",
    metavar="TIME",
    callback=duration,
    default="1h",
    show_default=True,
    help="How long a presigned URL works, at most 7d.",
)
@click.option(
    "--faprelease", "as_command", is_flag=True, help="Print a faprelease command with the URL instead."
)
@json_option
@click.pass_obj
def url(opener: Opener, app: str, version: str, expires: timedelta, as_command: bool, as_json: bool) -> None:
    """Print a download URL of a version.

    On S3 the URL is presigned: anyone who has it can download, so treat it as a secret. The expiry time is
    printed to stderr. A URL signed with the credentials of a session ends with that session.
    """
    store = opener()
    link = store.artifacts.link(app, version, expires)
    digest = store.artifacts.get(app, version).digest
    command = f"faprelease --curl-url {shlex.quote(link.url)} --curl-sha256 {digest}"
    say(wording.until(link, now()))
    if as_command:
        say("add the stage and the role: … production web")
    facts = {"url": link.url, "sha256": digest, "until": link.until, "session": link.session}
    emit({**facts, "faprelease": command}, as_json, command if as_command else link.url)


def _empty(store: Store, app: str) -> NotFoundError:
    return NotFoundError(f"{store.name} contains no version of {app}", hint=Hint("{fapstore} list"))

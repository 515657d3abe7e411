"""Commands for versions: push, list, show, fetch, url, withdraw, copy."""

import shlex
import sys
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from artifact_store.artifact.evidence import PROVENANCE_SUFFIX, SBOM_SUFFIX
from artifact_store.cli.group import (
    Opener,
    duration,
    emit,
    fapstore,
    json_option,
    key_option,
    now,
    override_option,
    say,
    why_option,
)
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError, RemovedError, UsageError
from artifact_store.core.hints import Hint
from artifact_store.store.publish import moved, open_upload
from artifact_store.store.store import Store
from artifact_store.views import wording


@fapstore.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def push(opener: Opener, artifact: Path, as_json: bool) -> None:
    """Store an artifact.

    The app and version are those in its manifest. Pushing the same bytes again changes nothing. What the
    newest versions of the app have is copied inside the store, and not sent.
    """
    with open_upload(artifact) as upload:  # the file is read while the store is opened
        record = opener().artifacts.publish(upload, Actor.current())
    say(f"{'pushed' if record.created else 'already there:'} {record.app} {record.version}")
    if sent := moved(record):
        say(sent)
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
@click.option(
    "--sbom", "kind", flag_value=SBOM_SUFFIX, help="Print its bill of materials (CycloneDX) instead."
)
@click.option(
    "--provenance", "kind", flag_value=PROVENANCE_SUFFIX, help="Print its provenance (in-toto) instead."
)
@json_option
@click.pass_obj
def show(opener: Opener, app: str, version: str, kind: str | None, as_json: bool) -> None:
    """Show details of a version."""
    store = opener()
    record = store.artifacts.get(app, version)
    if kind:
        sys.stdout.buffer.write(store.artifacts.evidence(record, kind))
        return
    withdrawal = store.artifacts.withdrawal(record)
    fields = msgspec.structs.asdict(record)
    lines = [f"{name:<10} {value}" for name, value in fields.items() if value]
    if withdrawal:
        at = f"{withdrawal.at:%Y-%m-%d %H:%M} UTC"
        lines.append(f"{'withdrawn':<10} by {withdrawal.who} at {at}: {withdrawal.why}")
    emit({**fields, "withdrawn": withdrawal}, as_json, *lines)


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    default=".",
    help="File to write, or folder: one that exists, or a name that ends in /.  [default: this folder]",
)
@json_option
@click.pass_obj
def fetch(opener: Opener, app: str, version: str, output: str, as_json: bool) -> None:
    """Download a version.

    The file appears only after its sha256 was checked. Missing folders are made. What other versions of the
    app in the folder have is not downloaded again.
    """
    path = opener().artifacts.fetch(app, version, _target(output))
    emit({"path": str(path)}, as_json, str(path))


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option("--why", metavar="TEXT", required=True, help="Reason, shown to anyone who is refused.")
@key_option
@json_option
@click.pass_obj
def withdraw(opener: Opener, app: str, version: str, why: str, key: Path | None, as_json: bool) -> None:
    """Let no stage take a version any more.

    Promotions and rollbacks to it are refused (--override overrides). Its bytes stay, and stages that have it
    keep it, but they are not released until they get another version or an override. It can't be taken back:
    pack a fixed version.
    """
    store = opener(key)
    withdrawal = store.artifacts.withdraw(app, version, Actor.current(), why)
    emit(withdrawal, as_json, f"withdrawn: no stage takes {app} {version} any more")
    for entry in store.stages.last_entries(app) if store.can_list else ():
        if entry.state.digest == withdrawal.digest:
            stage = entry.state.stage
            say(f"{stage} has it still: promote another version, or: fapstore rollback {app} {stage}")


@fapstore.command()
@click.argument("app")
@click.argument("versions", nargs=-1)
@click.option("--to", "url", metavar="URL", required=True, help="The store to copy to.")
@click.option("--stage", metavar="STAGE", help="Copy the version of this stage, and promote it there.")
@why_option
@override_option
@key_option
@json_option
@click.pass_obj
def copy(
    opener: Opener,
    app: str,
    versions: tuple[str, ...],
    url: str,
    stage: str | None,
    why: str,
    override: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Copy versions to another store.

    Copies these VERSIONS, or all that gc did not remove from either store, with SBOM, provenance, signatures
    and approvals; they stay valid, because they name the bytes. What is there already is not copied again.
    Logs are not copied: an entry counts only in its own store. With --stage, the other store gets an entry of
    its own for the stage.
    """
    from artifact_store.store.copy import copy as copy_version

    source, target = opener(), opener.at(url, key)
    if stage and versions:
        raise UsageError("give versions or --stage, not both", hint="--stage names the version")
    head = source.stages.head(app, stage) if stage else None
    if stage and head is None:
        raise NotFoundError(
            f"{app} {stage} has no version yet", hint=Hint("{fapstore} stages {app}", app=app)
        )
    names = [head.version] if head else [*versions] or [one.version for one in source.artifacts.stored(app)]
    if not names:
        raise _empty(source, app)
    done = []
    for name in names:
        try:
            done.append({"version": name, "copied": copy_version(source, target, app, name)})
        except RemovedError as error:
            if head or versions:
                raise
            say(f"not copied: {error.message}")
            continue
        say(f"{'copied' if done[-1]['copied'] else 'already there:'} {app} {name}")
    if head:
        reason = why or f"copied from {source.name}, entry {head.number}"
        change = target.stages.promote(
            app, head.version, head.stage, Actor.current(), why=reason, override=override
        )
        say(f"{head.stage} of {target.name}: {head.version}, entry {change.state.number}")
    emit(done, as_json)


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
    record = store.artifacts.get(app, version)
    root = store.artifacts.root(record)
    command = f"faprelease --curl-url {shlex.quote(link.url)} --curl-sha256 {record.digest}"
    command += f" --curl-root {root}" if root else ""
    say(wording.until(link, now()))
    if as_command:
        say("add the stage and the role: … production web")
    facts = {
        "url": link.url,
        "sha256": record.digest,
        "root": root,
        "until": link.until,
        "session": link.session,
    }
    emit({**facts, "faprelease": command}, as_json, command if as_command else link.url)


def _target(output: str) -> Path:
    """The file or folder to write to; missing folders are made."""
    path = Path(output)
    (path if output.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
    return path


def _empty(store: Store, app: str) -> NotFoundError:
    return NotFoundError(f"{store.name} contains no version of {app}", hint=Hint("{fapstore} list"))

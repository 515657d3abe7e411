"""Stages: change what they should run, and tell what they ran."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from artifact_store.cli.group import (
    Opener,
    fapstore,
    json_option,
    key_option,
    now,
    reason_option,
    say,
    tell,
    why_option,
)
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError, UsageError
from artifact_store.core.hints import Hint
from artifact_store.stages.log_rules import LogEntry
from artifact_store.store.promote import StageChange
from artifact_store.store.store import Store
from artifact_store.views import wording


@fapstore.command()
@click.argument("app")
@click.argument("version", required=False)
@click.argument("stage", required=False)
@click.option("--from", "source", metavar="STAGE", help="Promote what this stage runs …")
@click.option("--to", "target", metavar="STAGE", help="… to this one.")
@why_option
@reason_option
@key_option
@json_option
@click.pass_obj
def promote(
    opened: Opener,
    app: str,
    version: str | None,
    stage: str | None,
    source: str | None,
    target: str | None,
    why: str,
    reason: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Make a version what a stage should run; no bytes move.

    APP VERSION STAGE, or APP --from STAGE --to STAGE.
    """
    store = opened(key)
    by = Actor.current()
    if version and stage and not (source or target):
        change = store.stages.promote(app, version, stage, by, why=why, override=reason)
    elif source and target and not version:
        at_source = store.stages.head(app, source)
        if at_source is None:
            raise NotFoundError(
                f"{app} {source} runs nothing yet", hint=Hint("{fapstore} stages {app}", app=app)
            )
        change = store.stages.promote(
            app, at_source.version, target, by, why=why, source=source, override=reason
        )
    else:
        raise UsageError(
            "promote what, to which stage?",
            hint=Hint(
                "{fapstore} promote APP VERSION STAGE, or: {fapstore} promote APP --from STAGE --to STAGE"
            ),
        )
    _report(change, as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@click.option(
    "--to", "version", metavar="VERSION", help="A version of the stage's past.  [default: the one before]"
)
@why_option
@reason_option
@key_option
@json_option
@click.pass_obj
def rollback(
    opened: Opener,
    app: str,
    stage: str,
    version: str | None,
    why: str,
    reason: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Go back to the version before on a stage.

    The emergency: no approvals are asked for, and not where the version was before.
    """
    change = opened(key).stages.rollback(app, stage, Actor.current(), to=version, why=why, override=reason)
    _report(change, as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@click.option("--why", required=True, help="The reason, shown to who is refused.")
@key_option
@json_option
@click.pass_obj
def freeze(opened: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Refuse promotions and rollbacks of a stage."""
    _report(opened(key).stages.freeze(app, stage, Actor.current(), why), as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@why_option
@key_option
@json_option
@click.pass_obj
def unfreeze(opened: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Allow them again."""
    _report(opened(key).stages.unfreeze(app, stage, Actor.current(), why), as_json)


@fapstore.command()
@click.argument("app")
@json_option
@click.pass_obj
def stages(opened: Opener, app: str, as_json: bool) -> None:
    """Show what each stage of an app should run."""
    store = opened()
    entries = store.stages.last_entries(app)
    if not entries:
        raise NotFoundError(
            f"{store.name}: nothing was promoted to a stage of {app}", hint=Hint("{fapstore} list")
        )
    told = list(zip(entries, _signatures(opened, store, entries), strict=True))
    tell(
        [_entry(*each) for each in told],
        as_json,
        *(
            ", ".join(filter(None, (f"{e.state.stage:<16} {wording.state(e.state, now())}", _signed(e, by))))
            for e, by in told
        ),
    )
    _demand(store, entries)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@json_option
@click.pass_obj
def history(opened: Opener, app: str, stage: str, as_json: bool) -> None:
    """Tell a stage's history, the newest entry first."""
    store = opened()
    entries = store.stages.history(app, stage)[::-1]
    if not entries:
        raise NotFoundError(
            f"{store.name}: nothing was ever promoted to {app} {stage}",
            hint=Hint("{fapstore} stages {app}", app=app),
        )
    told = list(zip(entries, _signatures(opened, store, entries), strict=True))
    tell(
        [_entry(*each) for each in told],
        as_json,
        *(f"{e.state.number:>4}  {wording.sentence(e.state, now(), _signed(e, by))}" for e, by in told),
    )
    _demand(store, entries[:1])


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
def diff(opened: Opener, app: str, source: str, target: str, repository: Path, as_json: bool) -> None:
    """Tell what promoting from the first stage to the second would bring.

    Versions, commits, dependencies and sizes: `fapstore diff shop staging production`. Of the artifacts only
    the manifests are read.
    """
    from artifact_store.views import stage_diff

    found = stage_diff.compare(opened(), app, source, target, repository)
    tell(stage_diff.facts(found), as_json, *stage_diff.lines(found, now()))


@fapstore.command()
@click.argument("app")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    help="A clone that has the commits.  [default: this folder]",
)
@json_option
@click.pass_obj
def board(opened: Opener, app: str, output: Path | None, repository: Path, as_json: bool) -> None:
    """Write a page that tells what each stage runs, what waits, and how it came to that.

    One HTML file that needs nothing else: put it on any web server. It tells names, versions and reasons;
    it holds no secret and no URL of an artifact.
    """
    from artifact_store.views.board import load, page

    trust = opened.trust()
    found = load(opened(), trust.policy, app, repository, check=trust.signers is not None)
    if as_json:
        tell(found, as_json)
    elif output is None:
        click.echo(page(found, now()))
    else:
        part = output.with_name(f".{output.name}.part")
        part.write_text(page(found, now()), encoding="utf-8")
        part.replace(output)
        say(f"wrote {output}")


def _signatures(
    opened: Opener, store: Store, entries: Sequence[LogEntry]
) -> Sequence[tuple[str, ...] | None]:
    """Who signed each entry; None if no allowed signers are named."""
    return store.notary.all_signed_by(entries) if opened.trust().signers else [None] * len(entries)


def _signed(entry: LogEntry, by: tuple[str, ...] | None) -> str:
    return wording.signature(by, len(entry.sealed.signatures))


def _entry(entry: LogEntry, by: tuple[str, ...] | None) -> dict[str, object]:
    return {**msgspec.structs.asdict(entry.state), "signed_by": by}


def _demand(store: Store, entries: Sequence[LogEntry]) -> None:
    """Raise VerificationError, after all was told, for an entry that lacks a demanded signature."""
    for entry in entries:
        store.notary.check_entry(entry)


def _report(change: StageChange, as_json: bool) -> None:
    against = f", against the rules: {', '.join(change.state.overrode)}" if change.state.overrode else ""
    say(f"done{against}" if change.changed else "nothing to do: it is so already")
    tell(change, as_json, f"{change.state.stage} {wording.state(change.state, now())}")

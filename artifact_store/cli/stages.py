"""Commands for stages: promote, rollback, freeze, unfreeze, renew, stages, history, diff, board."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import click
import msgspec

from artifact_store.cli.group import (
    Opener,
    emit,
    expires_option,
    fapstore,
    json_option,
    key_option,
    now,
    override_option,
    repository_option,
    say,
    why_option,
)
from artifact_store.core.actor import Actor
from artifact_store.core.errors import NotFoundError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.stages.log_rules import LogEntry
from artifact_store.store.promote import StageChange
from artifact_store.store.store import Store
from artifact_store.views import wording


@fapstore.command()
@click.argument("app")
@click.argument("version", required=False)
@click.argument("stage", required=False)
@click.option("--from", "source", metavar="STAGE", help="Promote the version that this stage has.")
@click.option("--to", "target", metavar="STAGE", help="The stage to promote it to.")
@click.option("--new-stage", is_flag=True, help="Begin a stage whose name is similar to another one's.")
@expires_option
@why_option
@override_option
@key_option
@json_option
@click.pass_obj
def promote(
    opener: Opener,
    app: str,
    version: str | None,
    stage: str | None,
    source: str | None,
    target: str | None,
    new_stage: bool,
    lifetime: timedelta | None,
    why: str,
    override: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Put a version on a stage.

    Give APP VERSION STAGE, or APP --from STAGE --to STAGE. No bytes are copied. The next release of the stage
    brings this version to its hosts.
    """
    store = opener(key)
    by = Actor.current()
    if not new_stage:
        store.stages.check_spelling(app, target or stage or "")
    if version and stage and not (source or target):
        change = store.stages.promote(app, version, stage, by, why=why, override=override, lifetime=lifetime)
    elif source and target and not version:
        head = store.stages.head(app, source)
        if head is None:
            raise NotFoundError(
                f"{app} {source} has no version yet", hint=Hint("{fapstore} stages {app}", app=app)
            )
        change = store.stages.promote(
            app, head.version, target, by, why=why, source=source, override=override, lifetime=lifetime
        )
    else:
        raise UsageError(
            "give a version and a stage, or two stages",
            hint=Hint(
                "{fapstore} promote APP VERSION STAGE, or: {fapstore} promote APP --from STAGE --to STAGE"
            ),
        )
    _report(change, as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@click.option(
    "--to",
    "version",
    metavar="VERSION",
    help="A version that was on the stage before.  [default: the previous one]",
)
@why_option
@override_option
@key_option
@json_option
@click.pass_obj
def rollback(
    opener: Opener,
    app: str,
    stage: str,
    version: str | None,
    why: str,
    override: str,
    key: Path | None,
    as_json: bool,
) -> None:
    """Put the previous version back on a stage.

    For emergencies: needs no approvals and skips the check of earlier stages. The next release of the stage
    brings the version to its hosts; `faprelease rollback` switches hosts at once.
    """
    change = opener(key).stages.rollback(app, stage, Actor.current(), to=version, why=why, override=override)
    _report(change, as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@click.option("--why", metavar="TEXT", required=True, help="Reason, shown to anyone who is refused.")
@key_option
@json_option
@click.pass_obj
def freeze(opener: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Refuse promotions and rollbacks of a stage."""
    _report(opener(key).stages.freeze(app, stage, Actor.current(), why), as_json)


@fapstore.command(short_help="Allow changes of a frozen stage again.")
@click.argument("app")
@click.argument("stage")
@why_option
@key_option
@json_option
@click.pass_obj
def unfreeze(opener: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Allow promotions and rollbacks of a stage again."""
    _report(opener(key).stages.unfreeze(app, stage, Actor.current(), why), as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@expires_option
@key_option
@json_option
@click.pass_obj
def renew(
    opener: Opener, app: str, stage: str, lifetime: timedelta | None, key: Path | None, as_json: bool
) -> None:
    """Renew the expiry of a stage's last entry.

    Writes a new entry that changes nothing else. Run it by a schedule, more often than entries expire: then a
    store or mirror that shows an old state is refused soon.
    """
    _report(opener(key).stages.renew(app, stage, Actor.current(), lifetime), as_json)


@fapstore.command(short_help="Leave a stage without a version.")
@click.argument("app")
@click.argument("stage")
@click.option("--why", metavar="TEXT", required=True, help="Reason, recorded in the history.")
@key_option
@json_option
@click.pass_obj
def retire(opener: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Leave a stage without a version, for good or until the next promotion.

    Releases of it find nothing to release, and `fapstore gc` keeps no version for it. Its history stays. Its
    hosts are not changed.
    """
    _report(opener(key).stages.retire(app, stage, Actor.current(), why), as_json)


@fapstore.command("new-origin", short_help="Begin a stage's log anew in a copied store.")
@click.argument("app")
@click.argument("stage")
@click.option("--why", metavar="TEXT", required=True, help="Reason, recorded in the history.")
@key_option
@json_option
@click.pass_obj
def new_origin(opener: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Begin a stage's log anew, after its store was copied or restored from a backup.

    The version stays. Entries that are written for the other copy of the store count for nothing here from
    now on, and those written here count for nothing there. Hosts remember the log they have seen: the next
    release of them needs `faprelease --allow-older`, once.
    """
    _report(opener(key).stages.new_origin(app, stage, Actor.current(), why), as_json)


@fapstore.command()
@click.argument("app")
@json_option
@click.pass_obj
def stages(opener: Opener, app: str, as_json: bool) -> None:
    """Show the version on each stage of an app."""
    store = opener()
    entries = store.stages.last_entries(app)
    passed_over = store.stages.passed_over(app, *store.stages.names(app))
    if not entries and not passed_over:
        raise NotFoundError(f"{store.name}: no version of {app} is on a stage", hint=Hint("{fapstore} list"))
    signed = list(zip(entries, _signatures(opener, store, entries), strict=True))
    emit(
        [_facts(*row) for row in signed],
        as_json,
        *(
            ", ".join(filter(None, (f"{e.state.stage:<16} {wording.state(e.state, now())}", _signed(e, by))))
            for e, by in signed
        ),
    )
    _check(store, entries, passed_over)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@json_option
@click.pass_obj
def history(opener: Opener, app: str, stage: str, as_json: bool) -> None:
    """Show the history of a stage, newest first."""
    store = opener()
    entries = store.stages.history(app, stage)[::-1]
    passed_over = store.stages.passed_over(app, stage)
    if not entries and not passed_over:
        raise NotFoundError(
            f"{store.name}: {app} {stage} has no history",
            hint=Hint("{fapstore} stages {app}", app=app),
        )
    signed = list(zip(entries, _signatures(opener, store, entries), strict=True))
    emit(
        [_facts(*row) for row in signed],
        as_json,
        *(f"{e.state.number:>4}  {wording.sentence(e.state, now(), _signed(e, by))}" for e, by in signed),
    )
    _check(store, entries[:1], passed_over)


@fapstore.command()
@click.argument("app")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@repository_option
@json_option
@click.pass_obj
def diff(opener: Opener, app: str, source: str, target: str, repository: Path, as_json: bool) -> None:
    """Compare two stages before a promotion.

    Shows what promoting from stage FROM to stage TO would change: versions, commits, dependencies and sizes.
    Example: `fapstore diff shop staging production`. Downloads only the manifests of the two artifacts.
    """
    from artifact_store.views import stage_diff

    comparison = stage_diff.compare(opener(), app, source, target, repository)
    emit(stage_diff.facts(comparison), as_json, *stage_diff.lines(comparison, now()))


@fapstore.command()
@click.argument("app")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: print the page]",
)
@repository_option
@json_option
@click.pass_obj
def board(opener: Opener, app: str, output: Path | None, repository: Path, as_json: bool) -> None:
    """Write an HTML page about all stages.

    The page shows each stage's version, pending versions and history. It is one self-contained file for any
    web server. It contains names, versions and reasons, but no secrets and no download URLs.
    """
    from artifact_store.views.board import load, page

    trust = opener.trust()
    content = load(opener(), trust.policy, app, repository, check=trust.signers is not None)
    if as_json:
        emit(content, as_json)
    elif output is None:
        click.echo(page(content, now()))
    else:
        part = output.with_name(f".{output.name}.part")
        part.write_text(page(content, now()), encoding="utf-8")
        part.replace(output)
        say(f"wrote {output}")


def _signatures(
    opener: Opener, store: Store, entries: Sequence[LogEntry]
) -> Sequence[tuple[str, ...] | None]:
    """The allowed signers who signed each entry; None if no allowed signers are known."""
    return store.notary.all_signed_by(entries) if opener.trust().signers else [None] * len(entries)


def _signed(entry: LogEntry, by: tuple[str, ...] | None) -> str:
    return wording.signature(by, len(entry.sealed.signatures))


def _facts(entry: LogEntry, by: tuple[str, ...] | None) -> dict[str, object]:
    return {**msgspec.structs.asdict(entry.state), "signed_by": by}


def _check(store: Store, entries: Sequence[LogEntry], passed_over: Sequence[str]) -> None:
    """Raise VerificationError, after everything was printed, for what can't be read or relied on."""
    if passed_over:
        raise VerificationError(
            "; ".join(passed_over), hint=f"find out who can write to the store: {store.name}"
        )
    for entry in entries:
        store.notary.check_entry(entry)


def _report(change: StageChange, as_json: bool) -> None:
    overrode = f"; overrode the rules: {', '.join(change.state.overrode)}" if change.state.overrode else ""
    say(f"done{overrode}" if change.changed else "nothing to do: already at that state")
    emit(change, as_json, f"{change.state.stage} {wording.state(change.state, now())}")

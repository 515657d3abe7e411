"""`fapstore`: put artifacts in a store, find them, promote them. stdout is data, stderr is talk."""

import re
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec

from artifact_store import actor, publishing, trust, wording
from artifact_store.attestation import Signed
from artifact_store.errors import FapError, NotFoundError, StoreError, UsageError, VerificationError
from artifact_store.promoting import Change
from artifact_store.promotion import Entry
from artifact_store.store import Store, open_store
from artifact_store.trust import Trust

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
reason_option = click.option(
    "--reason", default="", help="Override the app's rules for this reason; both are recorded."
)
key_option = click.option(
    "--key",
    type=click.Path(path_type=Path),
    envvar="FAP_SIGNING_KEY",
    show_envvar=True,
    help="Sign with this ssh key, or with the one in ssh-agent whose .pub this is.",
)
why_option = click.option("--why", default="", help="What for; told in the history.")


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", value)
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
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="The app's rules.  [default: ./fapstore.toml, or [tool.fapstore] of ./pyproject.toml]",
)
@click.option(
    "--signers",
    type=click.Path(path_type=Path),
    help="Demand signatures by the keys of this allowed-signers file.  [default: as the rules say]",
)
@click.option(
    "--unsafe-store",
    "unsafe",
    is_flag=True,
    help="Change stages even in a store that overwrites what is there; see `fapstore doctor`.",
)
@click.version_option(package_name="fapkit", prog_name="fapstore")
@click.pass_context
def fapstore(
    context: click.Context, url: str, config: Path | None, signers: Path | None, unsafe: bool
) -> None:
    """Immutable artifacts, and the logs of the stages that run them.

    Exit codes: 0 done, 1 failed and nothing changed, 2 usage or configuration, 6 bytes or signatures are
    not what they should be, 7 can't connect, 130 interrupted.
    """
    context.obj = Opener(url, config, signers, unsafe)


@dataclass(frozen=True)
class Opener:
    """Opens the store of this command line; the files it names are read then."""

    url: str
    config: Path | None
    signers: Path | None
    unsafe: bool

    def __call__(self, key: Path | None = None) -> Store:
        """The store, with a key to sign with."""
        return open_store(self.url, self.trust(key), unsafe=self.unsafe)

    def trust(self, key: Path | None = None) -> Trust:
        """The rules that are in force here."""
        return trust.load(Path(), self.config, self.signers, key)


@fapstore.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@json_option
@click.pass_obj
def push(opened: Opener, artifact: Path, as_json: bool) -> None:
    """Store an artifact under the version its manifest names."""
    with publishing.begun(artifact) as upload:  # the file is read while the store is opened
        record = opened().publish(upload, actor.who(), actor.ci_run())
    _say(f"{'pushed' if record.created else 'already there:'} {record.app} {record.version}")
    _print(record, as_json, f"{record.app} {record.version} {record.digest}")


@fapstore.command()
@json_option
@click.pass_obj
def doctor(opened: Opener, as_json: bool) -> None:
    """Try out what a store really does; what it writes for that, it removes.

    Whether anything can be overwritten, by several writers at once too; permissions, clocks, lifecycle rules,
    public access. Exit code 1 if something is wrong.
    """
    found = []
    for finding in opened().examine():
        found.append(finding)
        if not as_json:
            _print(finding, False, wording.finding(finding))
    if as_json:
        _print(found, True)
    wrong = sum(finding.verdict == "wrong" for finding in found)
    if wrong:
        raise StoreError(f"{wrong} of {len(found)} things are wrong", hint="do what stands behind ->")


@fapstore.command("list")
@click.argument("app", required=False)
@json_option
@click.pass_obj
def list_(opened: Opener, app: str | None, as_json: bool) -> None:
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
def show(opened: Opener, app: str, version: str, as_json: bool) -> None:
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
def fetch(opened: Opener, app: str, version: str, output: Path, as_json: bool) -> None:
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
def url(opened: Opener, app: str, version: str, expires: timedelta, as_command: bool, as_json: bool) -> None:
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
    who, ci = actor.who(), actor.ci_run()
    if version and stage and not (source or target):
        change = store.promote(app, version, stage, who=who, why=why, ci=ci, reason=reason)
    elif source and target and not version:
        at_source = store.stage(app, source)
        if at_source is None:
            raise NotFoundError(f"{app} {source} runs nothing yet", hint=f"fapstore stages {app}")
        change = store.promote(
            app, at_source.version, target, who=who, why=why, source=source, ci=ci, reason=reason
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
    change = opened(key).rollback(
        app, stage, who=actor.who(), why=why, to=version, ci=actor.ci_run(), reason=reason
    )
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
    _report(opened(key).freeze(app, stage, who=actor.who(), why=why, ci=actor.ci_run()), as_json)


@fapstore.command()
@click.argument("app")
@click.argument("stage")
@why_option
@key_option
@json_option
@click.pass_obj
def unfreeze(opened: Opener, app: str, stage: str, why: str, key: Path | None, as_json: bool) -> None:
    """Allow them again."""
    _report(opened(key).unfreeze(app, stage, who=actor.who(), why=why, ci=actor.ci_run()), as_json)


@fapstore.command()
@click.argument("app")
@json_option
@click.pass_obj
def stages(opened: Opener, app: str, as_json: bool) -> None:
    """Show what each stage of an app should run."""
    store = opened()
    entries = store.heads(app)
    if not entries:
        raise NotFoundError(f"{store.name}: nothing was promoted to a stage of {app}", hint="fapstore list")
    told = list(zip(entries, _signatures(opened, store, entries), strict=True))
    _print(
        [_entry(*each) for each in told],
        as_json,
        *(
            ", ".join(filter(None, (f"{e.state.stage:<16} {wording.state(e.state, _now())}", _signed(e, by))))
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
    entries = store.entries(app, stage)[::-1]
    if not entries:
        raise NotFoundError(
            f"{store.name}: nothing was ever promoted to {app} {stage}", hint=f"fapstore stages {app}"
        )
    told = list(zip(entries, _signatures(opened, store, entries), strict=True))
    _print(
        [_entry(*each) for each in told],
        as_json,
        *(f"{e.state.number:>4}  {wording.sentence(e.state, _now(), _signed(e, by))}" for e, by in told),
    )
    _demand(store, entries[:1])


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option(
    "--sha256", "digest", default="", help="Refuse to sign other bytes than these, which you packed."
)
@key_option
@json_option
@click.pass_obj
def sign(opened: Opener, app: str, version: str, digest: str, key: Path | None, as_json: bool) -> None:
    """Sign a version: that it is these bytes."""
    signed = opened(key).sign(app, version, who=actor.who(), digest=digest)
    _print(signed, as_json, f"signed {app} {version} {signed.statement.digest}{_by(signed)}")


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.argument("stage")
@why_option
@key_option
@json_option
@click.pass_obj
def approve(
    opened: Opener, app: str, version: str, stage: str, why: str, key: Path | None, as_json: bool
) -> None:
    """Sign that a version may go to a stage."""
    signed = opened(key).approve(app, version, stage, who=actor.who(), why=why)
    _print(signed, as_json, f"approved {app} {version} for {stage}{_by(signed)}")


@fapstore.command()
@click.argument("app")
@click.argument("version", required=False)
@click.option(
    "--all", "every", is_flag=True, help="Read every version again, not only those that stages run."
)
@json_option
@click.pass_obj
def verify(opened: Opener, app: str, version: str | None, every: bool, as_json: bool) -> None:
    """Check what is stored, and who signed it.

    Reads again the stages' logs, the release records, and all bytes of the versions that stages run; or of
    VERSION alone. Exits with 6 if anything is not what it says it is.
    """
    from artifact_store import audit

    if version and every:
        raise UsageError("a version, or --all?", hint=f"fapstore verify {app} --all")
    checks = []
    for check in audit.everything(opened(), opened.trust(), app, version, every=every):
        checks.append(check)
        if not as_json:
            for line in audit.lines(check):
                click.echo(wording.printable(line))
    if as_json:
        _print(checks, as_json)
    bad = sum(bool(check.problems) for check in checks)
    if bad:
        raise VerificationError(
            f"{bad} of {len(checks)} checks failed", hint=f"find out who can write to the store: {opened.url}"
        )


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
    from artifact_store import stagediff

    found = stagediff.look(opened(), app, source, target, repository)
    _print(stagediff.facts(found), as_json, *stagediff.lines(found, _now()))


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
    from artifact_store import board as boards

    trust = opened.trust()
    found = boards.look(opened(), trust.policy, app, repository, check=trust.signers is not None)
    if as_json:
        _print(found, as_json)
    elif output is None:
        click.echo(boards.page(found, _now()))
    else:
        part = output.with_name(f".{output.name}.part")
        part.write_text(boards.page(found, _now()), encoding="utf-8")
        part.replace(output)
        _say(f"wrote {output}")


@fapstore.command()
@click.argument("app")
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Keep so many versions of each stage, and of each role that was released: the last ones.",
)
@click.option(
    "--grace",
    metavar="TIME",
    callback=_duration,
    default="30d",
    show_default=True,
    help="Leave alone what is younger.",
)
@click.option(
    "--wait",
    metavar="TIME",
    callback=_duration,
    default="1m",
    show_default=True,
    help="How long a promotion may take; that long after marking, the logs are read again.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go and how much that is; remove nothing.")
@json_option
@click.pass_obj
def gc(
    opened: Opener,
    app: str,
    keep: int,
    grace: timedelta,
    wait: timedelta,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove versions that nothing refers to, and what killed pushes left.

    Kept is what stages and releases refer to: the last --keep versions of each. It is safe while others push
    and promote. Who promoted, pushed and signed a removed version stays on record, and its name is never
    free again.
    """
    from artifact_store import collect
    from artifact_store.references import Rules

    store = opened()
    plan = store.plan_gc(app, Rules(keep=keep, grace=grace))
    if plan.is_empty and not plan.kept:
        raise NotFoundError(f"{store.name} holds no version of {app}", hint="fapstore list")
    for version in plan.missing:
        _say(f"warning: a stage or release refers to {app} {version}, and its bytes are not there")
    total = f"{wording.size(plan.size)} of {app}; kept versions: {plan.kept}"
    lines = collect.lines(plan, _now())
    if dry_run or plan.is_empty:
        _print(collect.facts(plan, None), as_json, *lines)
        _say(f"would remove {total}" if dry_run else f"nothing to remove; kept versions: {plan.kept}")
        return
    for line in lines:
        _say(wording.printable(line))
    _say(f"removing {total}" + (f" (in {wait.total_seconds():.0f} s)" if plan.unused else ""))
    done = store.gc(plan, who=actor.who(), ci=actor.ci_run(), wait=lambda: time.sleep(wait.total_seconds()))
    for version in done.spared:
        _say(f"kept after all, as something came to refer to it: {app} {version}")
    _print(collect.facts(plan, done), as_json, f"removed {wording.size(done.size)}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `fapstore`; print errors with what to type next, and exit with their code."""
    try:
        sys.exit(fapstore.main(arguments, prog_name="fapstore", standalone_mode=False))
    except FapError as error:
        _say(f"fapstore: {error.message}")
        if error.hint:
            hint = _with_store(error.hint, sys.argv[1:] if arguments is None else arguments)
            for line in f"hint: {hint}".split("\n"):
                _say(line)
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
    """The hint as it can be typed: with the store, if that was named by the option, and the rules."""
    given: list[str] = []
    words = iter(arguments)
    for word in words:
        option, is_there, value = word.partition("=")
        if option not in ("--store", "--config", "--signers"):
            break
        given += [option, shlex.quote(value if is_there else next(words, ""))]
    return hint.replace("fapstore ", " ".join(["fapstore", *given, ""]))


def _now() -> datetime:
    return datetime.now(UTC)


def _say(text: str) -> None:
    click.echo(wording.printable(text), err=True)


def _print(value: object, as_json: bool, *lines: str) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))
        return
    for line in lines:
        click.echo(wording.printable(line))


def _signatures(opened: Opener, store: Store, entries: Sequence[Entry]) -> Sequence[tuple[str, ...] | None]:
    """Who signed each entry; None if no allowed signers are named."""
    return store.notary.all_signed_by(entries) if opened.trust().signers else [None] * len(entries)


def _signed(entry: Entry, by: tuple[str, ...] | None) -> str:
    return wording.signature(by, len(entry.sealed.signatures))


def _entry(entry: Entry, by: tuple[str, ...] | None) -> dict[str, object]:
    return {**msgspec.structs.asdict(entry.state), "signed_by": by}


def _demand(store: Store, entries: Sequence[Entry]) -> None:
    """Raise VerificationError, after all was told, for an entry that lacks a demanded signature."""
    for entry in entries:
        store.notary.check_entry(entry)


def _by(signed: Signed) -> str:
    return f", as {signed.by}" if signed.by else ""


def _report(change: Change, as_json: bool) -> None:
    against = f", against the rules: {', '.join(change.state.overrode)}" if change.state.overrode else ""
    _say(f"done{against}" if change.changed else "nothing to do: it is so already")
    _print(change, as_json, f"{change.state.stage} {wording.state(change.state, _now())}")

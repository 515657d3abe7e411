"""Commands for signatures: sign, approve, verify."""

from pathlib import Path

import click

from artifact_store.cli.group import Opener, emit, fapstore, json_option, key_option, why_option
from artifact_store.core import text
from artifact_store.core.actor import Actor
from artifact_store.core.errors import UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.trust.signatures import SignedStatement


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.option(
    "--sha256",
    "digest",
    metavar="SHA256",
    default="",
    help="The sha256 of the artifact you packed; refuse to sign anything else.",
)
@key_option
@json_option
@click.pass_obj
def sign(opener: Opener, app: str, version: str, digest: str, key: Path | None, as_json: bool) -> None:
    """Sign the bytes of a version."""
    signed = opener(key).artifacts.sign(app, version, Actor.current(), digest)
    emit(signed, as_json, f"signed {app} {version} {signed.statement.digest}{_by(signed)}")


@fapstore.command()
@click.argument("app")
@click.argument("version")
@click.argument("stage")
@why_option
@key_option
@json_option
@click.pass_obj
def approve(
    opener: Opener, app: str, version: str, stage: str, why: str, key: Path | None, as_json: bool
) -> None:
    """Approve a version for a stage.

    An approval is a signature that allows this version on this stage. The app's rules say how many a stage
    needs.
    """
    signed = opener(key).stages.approve(app, version, stage, Actor.current(), why)
    emit(signed, as_json, f"approved {app} {version} for {stage}{_by(signed)}")


@fapstore.command()
@click.argument("app")
@click.argument("version", required=False)
@click.option("--all", "every", is_flag=True, help="Check every version, not only those on a stage.")
@json_option
@click.pass_obj
def verify(opener: Opener, app: str, version: str | None, every: bool, as_json: bool) -> None:
    """Check stored bytes, logs and signatures.

    Reads the logs of all stages, the release records, and all bytes of the versions that are on a stage. With
    VERSION, reads only that version. Exits 6 and lists the problems if anything does not match.
    """
    from artifact_store.views import audit

    if version and every:
        raise UsageError(
            "give a version or --all, not both", hint=Hint("{fapstore} verify {app} --all", app=app)
        )
    checks = []
    for check in audit.everything(opener(), opener.trust(), app, version, every=every):
        checks.append(check)
        if not as_json:
            for line in audit.lines(check):
                click.echo(text.printable(line))
    if as_json:
        emit(checks, as_json)
    failed = sum(bool(check.problems) for check in checks)
    if failed:
        raise VerificationError(
            f"{failed} of {len(checks)} checks failed",
            hint=f"find out who can write to the store: {opener.url}",
        )


def _by(signed: SignedStatement) -> str:
    return f", as {signed.by}" if signed.by else ""

"""Signatures: make them, and check everything that is stored."""

from pathlib import Path

import click

from artifact_store.cli.group import Opener, fapstore, json_option, key_option, tell, why_option
from artifact_store.core import text
from artifact_store.core.actor import Actor
from artifact_store.core.errors import UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.trust.signatures import SignedStatement


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
    signed = opened(key).artifacts.sign(app, version, Actor.current(), digest)
    tell(signed, as_json, f"signed {app} {version} {signed.statement.digest}{_by(signed)}")


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
    signed = opened(key).stages.approve(app, version, stage, Actor.current(), why)
    tell(signed, as_json, f"approved {app} {version} for {stage}{_by(signed)}")


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
    from artifact_store.views import audit

    if version and every:
        raise UsageError("a version, or --all?", hint=Hint("{fapstore} verify {app} --all", app=app))
    checks = []
    for check in audit.everything(opened(), opened.trust(), app, version, every=every):
        checks.append(check)
        if not as_json:
            for line in audit.lines(check):
                click.echo(text.printable(line))
    if as_json:
        tell(checks, as_json)
    bad = sum(bool(check.problems) for check in checks)
    if bad:
        raise VerificationError(
            f"{bad} of {len(checks)} checks failed", hint=f"find out who can write to the store: {opened.url}"
        )


def _by(signed: SignedStatement) -> str:
    return f", as {signed.by}" if signed.by else ""

"""The command `fapbuild pack`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from artifact_store.core.errors import UsageError
from fapbuild.cli.group import fapbuild, json_option, print_artifact, print_result, say

if TYPE_CHECKING:
    from artifact_store.store.store import Store


@fapbuild.command()
@click.option("--ref", default="", metavar="REF", help="Commit, tag or branch to pack.  [default: HEAD]")
@click.option(
    "--version",
    default="",
    metavar="V",
    help="Version of the artifact.  [default: time and name of the commit]",
)
@click.option(
    "-o",
    "--output",
    default="dist",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the artifact.",
    show_default=True,
)
@click.option(
    "--target",
    default="",
    metavar="PLATFORM",
    help="Build for this platform (cp312-manylinux_2_28_x86_64) instead of this machine.",
)
@click.option(
    "--wheel-store",
    default="",
    envvar="FAP_WHEEL_STORE",
    metavar="STORE",
    show_envvar=True,
    help="Where builders share wheels built from sdists.",
)
@click.option(
    "--push",
    default=None,
    metavar="STORE",
    help="Push the artifact to this store (s3://bucket/prefix or file:///dir).",
)
@click.option("--allow-dirty", is_flag=True, help="Pack uncommitted changes; +dirty is added to the version.")
@click.option("--allow-unpushed", is_flag=True, help="Pack a commit that has not been pushed.")
@click.option("--dry-run", is_flag=True, help="Show what would be packed, without building it.")
@json_option
def pack(
    ref: str,
    version: str,
    output: Path,
    target: str,
    wheel_store: str,
    push: str | None,
    allow_dirty: bool,
    allow_unpushed: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pack the project in this folder into dist/APP-VERSION.tgz.

    Only committed files are packed. The bill of materials and the provenance are written beside the artifact.
    In GitHub Actions, app, version, digest, root, size and path become outputs of the step.
    """
    from artifact_store.core import text
    from artifact_store.core.actor import Actor
    from artifact_store.store.publish import moved, open_upload
    from fapbuild import report
    from fapbuild.packing.pack import Request, dry_run_lines, pack

    store = _open_store(push) if push is not None else None
    request = Request(Path.cwd(), ref, version, output, allow_dirty, allow_unpushed, target, wheel_store)
    if dry_run:
        print_result(*dry_run_lines(request, say), as_json)
        return
    start = time.monotonic()
    with report.reporter_here().live() as reporter:
        artifact = pack(request, reporter)
        reporter.say(f"packed {text.size(artifact.size)} in {time.monotonic() - start:.1f} s")
        if store:
            with (
                reporter.task(f"pushing to {store.name}", "pushed"),
                open_upload(artifact.path, artifact.digest) as upload,
            ):
                record = store.artifacts.publish(upload, Actor.current())
            reporter.say(
                f"{'pushed' if record.created else 'already in the store'}: {record.app} {record.version}"
            )
            if sent := moved(record):
                reporter.say(sent)
    report.write_outputs(artifact.facts())
    print_artifact(artifact, as_json)


def _open_store(url: str) -> "Store":
    """The store to push to, refused before anything is packed if it can't take a push."""
    from artifact_store.store.store import open_store

    store = open_store(url, existing=True)
    if not store.can_write:
        raise UsageError(f"{store.name} is read-only", hint="push to the s3:// or file:// store behind it")
    return store

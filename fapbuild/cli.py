"""`fapbuild`: make artifacts and look into them. stdout is data, stderr is talk."""

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from artifact_store.errors import FapError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fapkit", prog_name="fapbuild")
def fapbuild() -> None:
    """Pack a commit of a Python web app into one artifact that installs offline."""


@fapbuild.command()
def lock() -> None:
    """Pin every dependency with its hashes (pip-compile); commit the result."""
    from fapbuild import config, locks

    root = Path.cwd()
    path = locks.write(config.load(root), root)
    _say(f"locked; commit it: git add {path.name}")
    click.echo(path)


@fapbuild.command()
@click.option("--ref", default="", metavar="REF", help="A commit, tag or branch; default: HEAD.")
@click.option("--version", default="", metavar="V", help="Default: the commit's time and name.")
@click.option(
    "-o",
    "--output",
    default="dist",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for the artifact.",
    show_default=True,
)
@click.option("--push", default="", metavar="STORE", help="Then store it: s3://bucket/prefix, file:///dir.")
@click.option("--allow-dirty", is_flag=True, help="Pack the working tree, with +dirty in the version.")
@click.option("--dry-run", is_flag=True, help="Show what would be packed; fetch, compile and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def pack(
    ref: str, version: str, output: Path, push: str, allow_dirty: bool, dry_run: bool, as_json: bool
) -> None:
    """Make dist/APP-VERSION.tgz from the committed files of this folder."""
    from artifact_store import wording
    from fapbuild.pack import Request, dry_run_lines
    from fapbuild.pack import pack as run

    request = Request(Path.cwd(), ref, version, output, allow_dirty)
    if dry_run:
        _print(*dry_run_lines(request, _say), as_json)
        return
    start = time.monotonic()
    written = run(request, _say)
    _say(f"packed {wording.size(written.size)} in {time.monotonic() - start:.1f} s")
    facts: dict[str, object] = {
        "app": written.manifest.app,
        "version": written.manifest.version,
        "digest": written.digest,
        "size": written.size,
        "path": str(written.path),
    }
    if push:
        from artifact_store import actor
        from artifact_store.store import open_store

        record = open_store(push).publish(written.path, actor.who(), actor.ci_run())
        _say(f"{'pushed' if record.created else 'already there'}: {record.app} {record.version}")
    _print(facts, [f"{written.path} {written.digest}"], as_json)


@fapbuild.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the manifest.")
def inspect(artifact: Path, as_json: bool) -> None:
    """Tell what an artifact is."""
    from artifact_store.archive import read_manifest
    from artifact_store.manifest import encode

    manifest = read_manifest(artifact)
    if as_json:
        click.echo(encode(manifest), nl=False)
        return
    needs = f", glibc {manifest.target.glibc}" if manifest.target.glibc else ""
    lines = [
        f"{manifest.app} {manifest.version}",
        f"commit     {manifest.commit}{' and changes that are not committed' if manifest.dirty else ''}",
        f"from       {manifest.repository or 'a repository without a remote'}",
        f"for        {manifest.target.python} {manifest.target.platform}{needs}",
        f"processes  {', '.join(manifest.processes) or 'none (no Procfile)'}",
        f"needs      {', '.join(manifest.requires_env) or 'no variable'}",
        f"files      {len(manifest.files)}",
        f"wheels     {len(manifest.wheels)}",
        *(f"  {wheel.name} {wheel.version}" for wheel in manifest.wheels),
    ]
    click.echo("\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `fapbuild`: the one place of this package that prints errors and exits."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        sys.exit(fapbuild.main(arguments, prog_name="fapbuild", standalone_mode=False))
    except FapError as error:
        _fail(error.message, error.hint, error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _fail("interrupted; no half-made artifact is left", "run it again", 130)
    except OSError as error:
        _fail(f"{error.strerror}: {error.filename or 'on the way'}", "mend that, and run it again", 1)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _fail(message: str, hint: str, code: int) -> None:
    click.echo(f"fapbuild: {message}", err=True)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    sys.exit(code)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(facts: dict[str, object], lines: list[str], as_json: bool) -> None:
    import msgspec

    click.echo(msgspec.json.encode(facts).decode() if as_json else "\n".join(lines))

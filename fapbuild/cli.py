"""`fapbuild`: make artifacts and look into them. stdout is data, stderr is talk."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import click

from artifact_store.core.errors import FapError, UsageError

if TYPE_CHECKING:
    from artifact_store.store.store import Store

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _where(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A path or URL as given; for `-` the next line of standard input, since all can see arguments."""
    if value != "-":
        return value
    if line := sys.stdin.readline().strip():
        return line
    raise click.BadParameter("there is no path or URL on standard input")


EXIT_CODES = """\b
Exit codes:
  0    done
  1    failed; no half-made artifact is left
  2    the command line, the configuration, or what would be packed is wrong
  6    an artifact or a package is not what it was said to be
  7    a store or a URL can't be reached
  130  interrupted
"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(package_name="fapkit", prog_name="fapbuild")
def fapbuild() -> None:
    """Pack a commit of a Python web app into one artifact that installs offline."""


@fapbuild.command()
def init() -> None:
    """Write [tool.fapbuild] for the project in this folder.

    It looks at requirements, locks, front ends and Django's settings, and tells what it saw. Settings that
    are there already are left alone.
    """
    from fapbuild.onboarding import detection
    from fapbuild.onboarding import init as initial
    from fapbuild.project import git_tree as sources

    root = Path.cwd()

    def read(name: str) -> str:
        try:
            return (root / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    workspace = detection.workspace_lock(root, sources.folders_above(root))
    seen = detection.detect(sources.listing(root), read, root.name, workspace)
    path = initial.write(root, seen)
    for line in initial.told(seen, path.name):
        _say(line)
    click.echo(path)


@fapbuild.command()
@click.option("--upgrade", is_flag=True, help="Take the newest versions that fit, not those locked already.")
def lock(upgrade: bool) -> None:
    """Pin every dependency with its hashes; commit the result.

    pip-compile makes requirements.txt; a uv.lock or poetry.lock is renewed by uv or Poetry.
    """
    from fapbuild import locks
    from fapbuild.project import config
    from fapbuild.wheels import credentials

    root = Path.cwd()
    with credentials.out_of_sight():
        path = locks.write(config.load(root), root, upgrade=upgrade)
    _say(f"locked; commit it: git add {os.path.relpath(path, root)}")
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
@click.option(
    "--target", default="", metavar="T", help="Other hosts than this machine: cp312-manylinux_2_28_x86_64."
)
@click.option(
    "--wheel-store",
    default="",
    envvar="FAP_WHEEL_STORE",
    metavar="STORE",
    show_envvar=True,
    help="Share wheels built from sdists with all who build.",
)
@click.option("--push", default=None, metavar="STORE", help="Then store it: s3://bucket/prefix, file:///dir.")
@click.option("--allow-dirty", is_flag=True, help="Pack the working tree, with +dirty in the version.")
@click.option("--allow-unpushed", is_flag=True, help="Pack a commit that no remote has.")
@click.option("--dry-run", is_flag=True, help="Show what would be packed; fetch, compile and write nothing.")
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
    """Make dist/APP-VERSION.tgz from the committed files of this folder.

    Beside it lie its bill of materials and its provenance. In GitHub Actions, app, version, digest, size
    and path become outputs of the step.
    """
    from artifact_store.core import text
    from artifact_store.core.actor import Actor
    from fapbuild import report
    from fapbuild.packing.pack import Request, dry_run_lines
    from fapbuild.packing.pack import pack as run
    from fapbuild.wheels import credentials

    store = _open_store(push) if push is not None else None
    request = Request(Path.cwd(), ref, version, output, allow_dirty, allow_unpushed, target, wheel_store)
    if dry_run:
        with credentials.out_of_sight():
            found = dry_run_lines(request, _say)
        _print(*found, as_json)
        return
    start = time.monotonic()
    with credentials.out_of_sight(), report.opened().shown() as shown:
        written = run(request, shown)
        shown.say(f"packed {text.size(written.size)} in {time.monotonic() - start:.1f} s")
        if store:
            with shown.task(f"pushing to {store.name}", "pushed"):
                record = store.artifacts.publish(written.path, Actor.current())
            shown.say(f"{'pushed' if record.created else 'already there'}: {record.app} {record.version}")
    facts: dict[str, object] = {
        "app": written.manifest.app,
        "version": written.manifest.version,
        "digest": written.digest,
        "size": written.size,
        "path": str(written.path),
    }
    report.write_outputs(facts)
    _print(facts, [f"{written.path} {written.digest}"], as_json)


@fapbuild.command()
@click.argument("artifact", metavar="ARTIFACT|URL", callback=_where)
@json_option
def inspect(artifact: str, as_json: bool) -> None:
    """Tell what an artifact is, and how large its parts are.

    Of a URL only the manifest and the project's settings are fetched. A URL that is a secret can be given
    on standard input, as `-`.
    """
    from artifact_store.artifact.peek import open_source, peek
    from fapbuild.inspecting import single_file as inside
    from fapbuild.inspecting import summary as inspection

    with open_source(artifact) as source:
        found = peek(source)
        settings = inside.settings(source, found)
    _print(inspection.facts(found, settings), inspection.lines(found, settings), as_json)


@fapbuild.command()
@click.argument("before", metavar="A", callback=_where)
@click.argument("after", metavar="B", callback=_where)
@json_option
def diff(before: str, after: str, as_json: bool) -> None:
    """Tell what changed from artifact A to B, and what a host that has A would download for B.

    Both are files or URLs; of a URL only the manifest is fetched. `-` reads one from standard input.
    """
    from artifact_store.artifact.peek import open_source, peek
    from fapbuild.inspecting import diff as difference

    found = []
    for where in (before, after):
        with open_source(where) as source:
            found.append(peek(source))
    _print(difference.facts(*found), difference.lines(*found), as_json)


@fapbuild.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@json_option
def verify(artifact: Path, as_json: bool) -> None:
    """Check every digest, the list of files, and every wheel against requirements.lock.

    Exits with 6, and says what is wrong, if anything is.
    """
    from fapbuild.inspecting import verify as verification

    found = verification.verify(artifact)
    manifest = found.manifest
    _say(
        f"{manifest.app} {manifest.version} is as it was packed: {len(manifest.files)} files, "
        f"{len(manifest.wheels)} wheels, {len(manifest.members) + 1} gzip members"
    )
    facts: dict[str, object] = {
        "app": manifest.app,
        "version": manifest.version,
        "digest": found.digest,
        "size": found.size,
        "path": str(artifact),
    }
    _print(facts, [f"{artifact} {found.digest}"], as_json)


@fapbuild.command()
@json_option
def check(as_json: bool) -> None:
    """Look at the project in this folder, factor by factor (12factor.net); nothing is fetched or written.

    Exit code 1 if something is wrong: `pack` would refuse it, two builds of the commit could differ, or it
    could not be installed. What is only to be known is a note.
    """
    from artifact_store.core import text
    from fapbuild.onboarding.check import check as look

    found = []
    for finding in look(Path.cwd(), Path("dist")):
        found.append(finding)
        if not as_json:
            click.echo(_printable(text.finding(finding)))
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found).decode())
    wrong = sum(finding.verdict == "wrong" for finding in found)
    if wrong:
        raise FapError(f"{wrong} of {len(found)} things are wrong", hint="do what stands behind ->")


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
    from fapbuild import report

    report.show_error(message, hint)
    sys.exit(code)


def _open_store(url: str) -> "Store":
    """The store to push to, refused before anything is packed if it can't take a push."""
    from artifact_store.store.store import open_store

    store = open_store(url)
    if not store.can_write:
        raise UsageError(f"{store.name} is read-only", hint="push to the s3:// or file:// store behind it")
    return store


def _say(text: str) -> None:
    click.echo(text, err=True)


def _print(facts: dict[str, object], lines: list[str], as_json: bool) -> None:
    import msgspec

    click.echo(msgspec.json.encode(facts).decode() if as_json else "\n".join(map(_printable, lines)))


def _printable(line: str) -> str:
    """Names come out of artifacts of others: none may move the cursor or hide itself."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)

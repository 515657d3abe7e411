"""Commands for the project in the current folder: init, lock and check."""

import os
from pathlib import Path

import click

from artifact_store.core.errors import FapError
from fapbuild.cli.group import fapbuild, json_option, print_result, say


@fapbuild.command()
def init() -> None:
    """Write [tool.fapbuild] for the project in this folder.

    It looks at requirements, locks, front ends and Django's settings, and tells what it saw. Settings that
    are there already are left alone.
    """
    from fapbuild.onboarding.detection import detect, workspace_lock
    from fapbuild.onboarding.init import summary, write
    from fapbuild.project import git_tree

    root = Path.cwd()

    def read(name: str) -> str:
        try:
            return (root / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    lock = workspace_lock(root, git_tree.folders_above(root))
    detection = detect(git_tree.listing(root), read, root.name, lock)
    path = write(root, detection)
    for line in summary(detection, path.name):
        say(line)
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
    say(f"locked; commit it: git add {os.path.relpath(path, root)}")
    click.echo(path)


@fapbuild.command()
@json_option
def check(as_json: bool) -> None:
    """Look at the project in this folder, factor by factor (12factor.net); nothing is fetched or written.

    Exit code 1 if something is wrong: `pack` would refuse it, two builds of the commit could differ, or it
    could not be installed. What is only to be known is a note.
    """
    from artifact_store.core import text
    from fapbuild.onboarding.check import check

    findings = []
    for finding in check(Path.cwd()):
        findings.append(finding)
        if not as_json:
            click.echo(text.printable(text.finding(finding)))
    if as_json:
        print_result(findings, (), as_json)
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    if wrong:
        raise FapError(f"{wrong} of {len(findings)} things are wrong", hint="do what stands behind ->")

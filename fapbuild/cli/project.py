"""Commands for the project in the current folder: init, lock and check."""

import os
from pathlib import Path

import click

from artifact_store.core.errors import FapError
from fapbuild.cli.group import fapbuild, json_option, print_result, say


@fapbuild.command()
def init() -> None:
    """Write the first settings for the project in this folder.

    Detects requirements, locks, front ends and Django's settings, and shows what it found. The settings are
    added to pyproject.toml as [tool.fapbuild], or written to fapbuild.toml if there is no pyproject.toml.
    Existing settings are never changed.
    """
    from fapbuild import locks
    from fapbuild.cache import Cache, default_folder
    from fapbuild.guards.secret_scan import suspicious
    from fapbuild.onboarding.detection import OF_DEVELOPERS, detect
    from fapbuild.onboarding.init import summary, write
    from fapbuild.project import config, git_tree, platforms

    root = Path.cwd()

    def read(name: str) -> str:
        try:
            return (root / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    above = git_tree.folders_above(root)
    lock, paths = config.workspace_lock(root, above), git_tree.listing(root)
    secrets = suspicious(filter(OF_DEVELOPERS.search, paths), root, Cache(default_folder()))
    detection = detect(paths, read, root.name, lock, secrets, platforms.target_of_system())
    path = write(root, detection)
    stale = locks.problem(config.load(root, above), root) if detection.has_lock else ""
    for line in summary(detection, path.name, stale):
        say(line)
    click.echo(path)


@fapbuild.command()
@click.option("--upgrade", is_flag=True, help="Upgrade to the newest allowed versions.")
def lock(upgrade: bool) -> None:
    """Lock every dependency to a version and its hashes.

    pip-compile writes requirements.txt; uv, Poetry, PDM and Pipenv update their own locks. Commit the
    result. Versions that are locked already are kept where they still fit, but not by Pipenv. If pip searches
    several indexes, the packages are listed by the indexes that have them.
    """
    from fapbuild import locks
    from fapbuild.project import config, git_tree
    from fapbuild.wheels import credentials

    root = Path.cwd()
    with credentials.out_of_sight():
        project = config.load(root, git_tree.folders_above(root))
        path = locks.write(project, root, upgrade=upgrade)
        for line in locks.index_warnings(project, root, credentials.indexes()):
            say(line)
    if not upgrade and not locks.keeps(project.settings.lock):
        say(f"warning: Pipenv took the newest version of every package; look at them: git diff {path.name}")
    say(f"locked; now commit it: git add {os.path.relpath(path, root)}")
    click.echo(path)


@fapbuild.command()
@json_option
def check(as_json: bool) -> None:
    """Check the project in this folder against the twelve factors.

    `wrong` means that `pack` would refuse the project, that two builds of one commit could differ, or that
    hosts could not install it; then the exit code is 1. Anything merely worth knowing is a `note`. Nothing
    is downloaded, and the project is not changed. The factors are explained on 12factor.net.
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
        raise FapError(f"{wrong} of {len(findings)} checks failed", hint="each fix follows its ->")

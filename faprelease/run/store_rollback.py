"""Point the store's stage back after a rollback on hosts, so that the next release does not undo it."""

import os
from pathlib import Path

from artifact_store.core.errors import FapError as StoreProblem
from faprelease.config.target import Target
from faprelease.report.report import Report
from faprelease.run import store_head


def offer(
    target: Target, folder: Path, left: frozenset[str], version: str, report: Report, *, wanted: bool
) -> None:
    """Point the stage in the store back to `version` (empty: the one before), if it is `wanted`, or if the
    user agrees on the terminal; otherwise print the command. `folder` is that of deploy.yml.

    If the store has another version than those that the hosts `left` (empty: not known), it is not changed:
    that would mark a version as bad that no host left. The hosts are rolled back already, so a problem is
    reported and not raised.
    """
    settings, url = target.settings, store_head.store_of(target)
    if not url:
        return
    app, stage = settings.project_name, settings.stage
    to = f" --to {version}" if version else ""
    if left and (head := _head(target, folder)) and head not in left:
        report.say(
            f"{stage} in the store has {head}, which is not the version you left "
            f"({', '.join(sorted(left))}):\n"
            f"it is not pointed back, and the next release would release {head}."
        )
        return
    report.say(
        f"{stage} in the store still points to the version you left, and the next release would\n"
        f"release it again."
    )
    if url.startswith(("http://", "https://")):
        report.say(
            f"{url} is read-only. To point it back too, name the store that can be written:\n"
            f"fapstore --store URL rollback {app} {stage}{to} (or set FAP_STORE)"
        )
        return
    command = f"fapstore --store {url} rollback {app} {stage}{to}"
    if not wanted and not report.agrees(f"point {stage} in {url} back too"):
        report.say(f"To point it back too: {command}")
        return
    try:
        state = _roll_back(target, folder, version)
    except StoreProblem as error:
        report.say(f"the store was not changed: {error.message}\nwhen that is fixed: {command}")
        return
    report.say(f"{stage} in the store has {state} now")


def _head(target: Target, folder: Path) -> str:
    """The version on the stage in the store; empty if it has none or can't be read."""
    try:
        return store_head.current(target, folder)
    except StoreProblem:
        return ""


def _roll_back(target: Target, folder: Path, version: str) -> str:
    """Write the entry; return its version and number for people. Raises the errors of the store."""
    from artifact_store.core.actor import Actor

    key = os.environ.get("FAP_SIGNING_KEY")
    store = store_head.open_to_write(target, folder, Path(key) if key else None)
    settings = target.settings
    why = "rolled back on the hosts with faprelease"
    change = store.stages.rollback(
        settings.project_name, settings.stage, Actor.current(), to=version or None, why=why
    )
    return f"{change.state.version} (entry {change.state.number})"

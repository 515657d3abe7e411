"""Freeze and unfreeze a stage: a file on its hosts that stops everybody from releasing.

The lock of a run is something else: it ends with the run's session (`run/connections.py`).
"""

from datetime import UTC, datetime

import msgspec

from faprelease.config.target import Target
from faprelease.hosts import state as facts
from faprelease.hosts.state import Freeze
from faprelease.run.connections import frozen
from faprelease.run.run import ConnectedHosts, Run
from faprelease.steps.model import Step, host_script


def freeze(run: Run, why: str) -> None:
    """Freeze the hosts: nobody can release to them; running processes are not touched.

    Raises FrozenError if a host is frozen already, and freezes none then.
    """
    with run.connect(lock=False) as connected:
        for host in connected.hosts:
            if host.state.frozen:
                raise frozen(host.target, host.state.frozen)
        mark = Freeze(who=connected.info.who, at=_now(), why=why)
        connected.connections.run("freeze", lambda target: _freeze(target, mark))
    settings = run.targets[0].settings
    run.report.say(f"{settings.stage} is frozen on {_hosts(run)}: {why}")
    for host in connected.hosts:
        if host.state.locked:
            run.report.say(f"{host.place}: the running release of {host.state.locked} is not stopped")
    run.report.say(f"to unfreeze: faprelease unfreeze {run.request.stage} {run.request.role or ''}".rstrip())


def unfreeze(run: Run, *, force: bool) -> None:
    """Allow releases again; with `force`, also break the lock of a run in progress."""
    with run.connect(lock=False) as connected:
        said = connected.connections.run("unfreeze", lambda target: _unfreeze(target, connected, force=force))
    for host in connected.hosts:
        lines = said[host.place].splitlines()
        for line in lines:
            text = f"it was {facts.read_freeze(line)}" if line.startswith("{") else line
            run.report.say(f"{host.place}: unfrozen; {text}")
        if not lines:
            run.report.say(f"{host.place}: was not frozen")
        if host.state.locked and not force:
            run.report.say(
                f"{host.place}: a run by {host.state.locked} is in progress; its lock ends with it;"
                f" to break it: faprelease unfreeze {run.request.stage} {host.target.settings.role} --force"
            )


def _freeze(target: Target, mark: Freeze) -> Step:
    return host_script(
        "freeze",
        "lock/freeze",
        state=target.layout.state,
        freeze=msgspec.json.encode(mark).decode(),
        line=_line("frozen", mark.who, mark.at, why=mark.why),
    )


def _unfreeze(target: Target, connected: ConnectedHosts, *, force: bool) -> Step:
    return host_script(
        "unfreeze",
        "lock/unfreeze",
        state=target.layout.state,
        force="yes" if force else "",
        line=_line("broke the lock" if force else "unfrozen", connected.info.who, _now()),
    )


def _line(event: str, who: str, at: str, **more: str) -> str:
    return msgspec.json.encode({"at": at, "event": event, "who": who, **more}).decode()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _hosts(run: Run) -> str:
    return ", ".join(dict.fromkeys(target.host for target in run.targets))

"""The files with which systemd or supervisor runs each start of a release beside the one before. Pure.

`INSTANCE` is the name of a start, `<release>-<number>`: in a template of systemd that is `%i`
(systemd.unit(5)), and supervisor has no templates, so the host puts it in the place of `INSTANCE`.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from faprelease.config.settings import WEB, Settings
from faprelease.plugins import processes
from faprelease.steps.layout import Layout

FOLDER = ".fap/handover"
"""The folder of these files in a release."""
PROCESSES = "processes.json"
"""The file that lists the processes, for the host."""
INSTANCE = "@INSTANCE@"
KEEP_SECONDS = 300
"""How long old web processes stay by default, where the manager has timers."""
_PROXY = "/lib/systemd/systemd-socket-proxyd"
"""It connects to the link anew for each connection (systemd-socket-proxyd(8))."""
_ACTIVATE = "/usr/bin/systemd-socket-activate"
_HEAD = "From `processes` of deploy.yml."

Manager = Literal["systemd", "supervisorctl"]


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process of each start: its unit (or program), its type in the Procfile, what its launcher gets (a
    socket or a port), and how it is stopped."""

    unit: str
    type: str
    socket: str
    port: int
    signal: str
    seconds: int
    quiet: str
    overlap: bool


def processes_of(settings: Settings, stem: str) -> tuple[Process, ...]:
    """The processes of a role. `stem` begins the names of their units."""
    return tuple(
        Process(
            unit=f"{stem}-{name}-{number}",
            type=name,
            socket=socket(number) if name == WEB else "",
            port=0 if name == WEB else first + number - 1,
            signal=stop.signal,
            seconds=stop.seconds,
            quiet=stop.quiet,
            overlap=name == WEB or stop.overlap,
        )
        for name, count, first in processes.ports(settings)
        for stop in [processes.stop_of(settings, name)]
        for number in range(1, count + 1)
    )


def socket(number: int) -> str:
    """The name of a web process's socket, and of the link to it in run/."""
    return f"{WEB}.sock" if number == 1 else f"{WEB}-{number}.sock"


def keep_seconds(settings: Settings, manager: Manager) -> int:
    """How long the old web processes stay ready for a rollback, in seconds."""
    default = KEEP_SECONDS if manager == "systemd" else 0
    return default if settings.handover_keep is None else settings.handover_keep


def listens(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the address and port of each TCP front, and the socket that it leads to."""
    if not settings.handover_listen:
        return
    address, _, port = settings.handover_listen.rpartition(":")
    for number in range(1, settings.processes.get(WEB, 0) + 1):
        yield f"{address}:{int(port) + number - 1}", socket(number)


def files(
    settings: Settings, layout: Layout, stem: str, manager: Manager, *, of_user: bool
) -> Mapping[str, str]:
    """The texts of the files by their names; `of_user`: for the user's own systemd."""
    return {
        PROCESSES: msgspec.json.encode(processes_of(settings, stem)).decode() + "\n",
        **dict(
            _units(settings, layout, stem, of_user=of_user)
            if manager == "systemd"
            else _programs(settings, layout, stem)
        ),
    }


def _units(settings: Settings, layout: Layout, stem: str, *, of_user: bool) -> Iterator[tuple[str, str]]:
    user = "" if of_user else f"User={settings.sudo_user}\n"
    wanted_by = "default.target" if of_user else "multi-user.target"
    own = processes_of(settings, stem)
    for process in own:
        yield (
            f"{process.unit}@.service",
            f"# {_HEAD}\n"
            "[Unit]\n"
            f"Description={process.unit} of release %i\n"
            "After=network.target\n"
            "StartLimitIntervalSec=0\n"
            "\n[Service]\n"
            f"{user}"
            f"WorkingDirectory={layout.run}/%i/release\n"
            f"ExecStart=/bin/sh {_launch(layout, '%i', process)}\n"
            f"SyslogIdentifier={process.unit}\n"
            "KillMode=mixed\n"
            f"KillSignal=SIG{process.signal}\n"
            f"TimeoutStopSec={process.seconds}\n"
            "Restart=on-failure\n"
            "RestartSec=1\n"
            f"\n[Install]\nWantedBy={wanted_by}\n",
        )
    if keep := keep_seconds(settings, "systemd"):
        yield from _end_units(stem, [process.unit for process in own], keep, of_user=of_user)
    for number, (address, target) in enumerate(listens(settings), 1):
        head = f"# {_HEAD}\n[Unit]\nDescription={stem}: {address} leads to {target}\n"
        name = f"{stem}-front-{number}"
        yield (
            f"{name}.socket",
            f"{head}\n[Socket]\nListenStream={address}\n\n[Install]\nWantedBy=sockets.target\n",
        )
        yield (
            f"{name}.service",
            f"{head}Requires={name}.socket\n\n[Service]\n{user}ExecStart={_PROXY} {layout.run}/{target}\n",
        )


def _end_units(stem: str, units: list[str], keep: int, *, of_user: bool) -> Iterator[tuple[str, str]]:
    """The timer that stops the units of a start after a while."""
    scope = "--user " if of_user else ""
    head = f"# {_HEAD}\n[Unit]\nDescription={stem}: end what was kept of release %i for a rollback\n"
    stop = " ".join(f"{unit}@%i.service" for unit in units)
    yield (
        f"{stem}-end@.timer",
        f"{head}\n[Timer]\nOnActiveSec={keep}\nAccuracySec=1\nRemainAfterElapse=no\n",
    )
    yield (
        f"{stem}-end@.service",
        f"{head}\n[Service]\nType=oneshot\nExecStart=/usr/bin/env systemctl {scope}--no-block stop {stop}\n",
    )


def _programs(settings: Settings, layout: Layout, stem: str) -> Iterator[tuple[str, str]]:
    user = processes.user_line(settings)
    for process in processes_of(settings, stem):
        yield (
            f"{process.unit}.conf",
            f"; {_HEAD}\n"
            f"[program:{process.unit}-{INSTANCE}]\n"
            f"command=/bin/sh {_launch(layout, INSTANCE, process)}\n"
            f"directory={layout.run}/{INSTANCE}/release\n"
            f"{user}"
            "redirect_stderr=true\n"
            f"stopsignal={process.signal}\n"
            "killasgroup=true\n"
            f"stopwaitsecs={process.seconds}\n",
        )
    for number, (address, target) in enumerate(listens(settings), 1):
        name = f"{stem}-front-{number}"
        yield (
            f"{name}.conf",
            f"; {_HEAD}\n"
            f"[program:{name}]\n"
            f"command={_ACTIVATE} -l {address} {_PROXY} {layout.run}/{target}\n"
            f"{user}"
            "redirect_stderr=true\n",
        )


def _launch(layout: Layout, instance: str, process: Process) -> str:
    return f"{layout.run}/{instance}/start {process.type} {process.socket or process.port}"

"""The unit files with which systemd runs the processes of a role: a template for each process type, whose
instances are ports, and a target that wants them (systemd.unit(5), systemd.service(5)). Pure."""

import posixpath

from faprelease.config.settings import Settings
from faprelease.plugins import processes
from faprelease.steps.layout import Layout

FOLDER = ".fap/systemd"
"""The folder of the unit files in a release."""
_HEAD = "# From `processes` of deploy.yml.\n"


def target_of(unit: str) -> str:
    """The name of the target of all processes, from the unit in deploy.yml: `shop.target` for
    `shop.service`."""
    return f"{_stem(unit)}.target"


def files(settings: Settings, layout: Layout, unit: str, *, of_user: bool) -> dict[str, str]:
    """Return the texts of the unit files by their names; `of_user`: for the user's own manager. They run from
    `current`, so they are the same for every release until the processes change."""
    texts = {target_of(unit): _target(settings, unit, of_user=of_user)}
    for name, _, _ in processes.ports(settings):
        texts[f"{_stem(unit)}-{name}@.service"] = _template(settings, layout, unit, name, of_user=of_user)
    return texts


def _target(settings: Settings, unit: str, *, of_user: bool) -> str:
    wants = "".join(
        f"Wants={' '.join(f'{_stem(unit)}-{name}@{port}.service' for port in range(first, first + count))}\n"
        for name, count, first in processes.ports(settings)
    )
    return (
        f"{_HEAD}[Unit]\n"
        f"Description={_stem(unit)}\n"
        f"{wants}"
        "\n[Install]\n"
        f"WantedBy={'default.target' if of_user else 'multi-user.target'}\n"
    )


def _template(settings: Settings, layout: Layout, unit: str, name: str, *, of_user: bool) -> str:
    # It stops with its target, and before it: so stopping the target returns when all have stopped.
    # It is restarted without a limit, for as long as a backing service is down.
    # `.fap/run` reads `.env` as sh does; systemd would read a hand-written file differently.
    user = "" if of_user else f"User={_literal(settings.sudo_user)}\n"
    stop = processes.stop_of(settings, name)
    file = posixpath.normpath(settings.environment_name)
    environment = "" if file == ".env" else f"EnvironmentFile=-{_literal(f'{layout.current}/{file}')}\n"
    return (
        f"{_HEAD}[Unit]\n"
        f"Description={_stem(unit)}: {name} on port %i\n"
        f"PartOf={target_of(unit)}\n"
        f"After=network.target {target_of(unit)}\n"
        "StartLimitIntervalSec=0\n"
        "\n[Service]\n"
        f"{user}"
        f"WorkingDirectory={_literal(layout.current)}\n"
        f"{environment}"
        "Environment=PORT=%i\n"
        # In an absolute path, `$` and quotes would have a meaning.
        f"ExecStart=/bin/sh .fap/run {name}\n"
        f"SyslogIdentifier={_stem(unit)}-{name}-%i\n"
        "Restart=on-failure\n"
        "RestartSec=1\n"
        f"{'' if stop.signal == 'TERM' else f'KillSignal=SIG{stop.signal}{chr(10)}'}"
        f"TimeoutStopSec={stop.seconds}\n"
    )


def _stem(unit: str) -> str:
    return unit.rpartition(".")[0]


def _literal(value: str) -> str:
    """Escape `%`, which begins a specifier."""
    return value.replace("%", "%%")

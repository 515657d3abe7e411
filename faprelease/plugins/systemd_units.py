"""The unit files by which systemd runs a role's processes: a template for each process type, whose instances
are ports, and a target that wants them (systemd.unit(5), systemd.service(5)). Pure."""

import posixpath

from faprelease.config.settings import Settings
from faprelease.plugins import processes
from faprelease.steps.layout import Layout

FOLDER = ".fap/systemd"
"""Where a release has them."""
_HEAD = "# From `processes` of deploy.yml.\n"


def target_of(unit: str) -> str:
    """The target of all processes, for the unit that deploy.yml names: `shop.target` for `shop.service`."""
    return f"{_stem(unit)}.target"


def files(settings: Settings, layout: Layout, unit: str, *, of_user: bool) -> dict[str, str]:
    """The texts of the unit files by their names; `of_user`: for the user's own manager. What they run goes
    by `current`, so they are the same for every release until the processes change."""
    found = {target_of(unit): _target(settings, unit, of_user=of_user)}
    for name, _, _ in processes.ports(settings):
        found[f"{_stem(unit)}-{name}@.service"] = _template(settings, layout, unit, name, of_user=of_user)
    return found


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
    # Stopped with its target, and before it: so a stop of the target returns when all have stopped.
    # What a backing service's absence ends is tried again for as long as that takes.
    # `.fap/run` reads `.env` as sh does; systemd would read a file that people wrote otherwise.
    user = "" if of_user else f"User={_literal(settings.sudo_user)}\n"
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
        # A path of its own would be a word in which `$` and quotes mean something.
        f"ExecStart=/bin/sh .fap/run {name}\n"
        f"SyslogIdentifier={_stem(unit)}-{name}-%i\n"
        "Restart=on-failure\n"
        "RestartSec=1\n"
        "TimeoutStopSec=30\n"
    )


def _stem(unit: str) -> str:
    return unit.rpartition(".")[0]


def _literal(value: str) -> str:
    """Without specifiers, which begin with `%`."""
    return value.replace("%", "%%")

"""The processes of a role, which the Procfile names and `processes` counts, for a process manager. Pure."""

import difflib
from collections.abc import Iterator, Mapping

from faprelease.config.settings import Settings
from faprelease.steps.layout import Layout
from faprelease.steps.model import Step, host_script

"""How the title of a step begins whose standard input is the new configuration."""
STRIDE = 100
"""How far apart the ports of two process types begin, as foreman has it."""


def ports(settings: Settings) -> Iterator[tuple[str, int, int]]:
    """Each process type with how many there are, and the port of its first one: factor VII."""
    for number, (name, count) in enumerate(settings.processes.items()):
        if count:
            yield name, count, settings.process_port + number * STRIDE


def supervisor_conf(settings: Settings, layout: Layout, group: str) -> str:
    """Programs of a group, in the format of supervisor's configuration; each runs by way of `current`, so the
    text is the same for every release until the processes change."""
    user = "" if settings.connection == "local" else f"user={settings.sudo_user}\n"
    programs = [
        f"[program:{group}-{name}]\n"
        f"command={layout.current}/.fap/run {name}\n"
        f"directory={layout.current}\n"
        "process_name=%(program_name)s-%(process_num)d\n"
        f"numprocs={count}\n"
        f"numprocs_start={first}\n"
        'environment=PORT="%(process_num)d"\n'
        f"{user}"
        "redirect_stderr=true\n"
        "stopasgroup=true\n"
        "killasgroup=true\n"
        "stopwaitsecs=30\n"
        for name, count, first in ports(settings)
    ]
    names = ",".join(f"{group}-{name}" for name, _, _ in ports(settings))
    return "\n".join([f"; From `processes` of deploy.yml.\n[group:{group}]\nprograms={names}\n", *programs])


def changes(before: str, after: str) -> tuple[str, ...]:
    """The lines of a configuration that go (`-`) and come (`+`), for people."""
    return tuple(
        line
        for line in difflib.ndiff(before.splitlines(), after.splitlines())
        if line.startswith(("- ", "+ ")) and line[2:]
    )


def counted(settings: Settings) -> str:
    """`2 web, 1 worker`, for people."""
    return ", ".join(f"{count} {name}" for name, count, _ in ports(settings))


def write(settings: Settings, release: str, files: Mapping[str, str]) -> Step:
    """The step that puts `files` (their paths in the release, their texts) into a release, which has to know
    these processes."""
    return host_script(
        f"write the process manager's configuration: {counted(settings)}",
        "release/processes",
        kind="processes",
        stdin="".join(f"==> {path}\n{files[path]}" for path in sorted(files)),
        release=release,
        names=" ".join(name for name, _, _ in ports(settings)),
    )

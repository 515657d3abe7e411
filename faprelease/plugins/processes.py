"""The processes of a role (from the Procfile and the key `processes`), for a process manager. Pure."""

import difflib
import os
import shlex
from collections.abc import Iterator, Mapping

from faprelease.config.settings import WEB, ProcessStop, Settings
from faprelease.plugins.hooks import Context
from faprelease.steps.layout import Layout
from faprelease.steps.model import Step, host_program, host_script

MANAGERS = frozenset(["supervisorctl", "systemd"])
"""The plugins that restart the processes of a release."""
STRIDE = 100
"""The distance between the first ports of two process types, as in foreman."""


def ports(settings: Settings) -> Iterator[tuple[str, int, int]]:
    """Yield each process type with its number of processes and the port of the first one (factor VII)."""
    for number, (name, count) in enumerate(settings.processes.items()):
        if count:
            yield name, count, settings.process_port + number * STRIDE


def port_numbers(settings: Settings) -> str:
    """The ports of the web processes, as words. Whether others listen on theirs is not known."""
    found = (first + n for name, count, first in ports(settings) if name == WEB for n in range(count))
    return " ".join(map(str, found))


def claims(context: Context) -> Iterator[str]:
    """Yield the ports of the web processes, which only one role may have on a host."""
    settings = context.target.settings
    if settings.handover == "restart":
        yield from (f"process_port: {port}" for port in port_numbers(settings).split())


def look(context: Context) -> Iterator[Step]:
    """Yield the step that looks whether the ports are free before a first release. Afterwards the processes
    of the live release have them."""
    settings, layout = context.target.settings, context.target.layout
    if port_numbers(settings) and settings.handover == "restart":
        yield host_program(
            "check that the ports are free",
            "ports",
            "processes",
            arguments=port_numbers(settings).split(),
            limit=60,
            when=f"[ ! -L {shlex.quote(layout.current)} ]",
        )


def stop_of(settings: Settings, name: str) -> ProcessStop:
    """How processes of a type are stopped."""
    return settings.processes_stop.get(name, ProcessStop())


def longest_stop(settings: Settings) -> int:
    """How long a stop of all processes may take, in seconds."""
    return max((stop_of(settings, name).seconds for name, _, _ in ports(settings)), default=30)


def seconds(context: Context) -> int:
    """How long the processes of a release must run before it counts as live. A health check that follows
    proves more, and watches them too."""
    return 0 if context.has_plugin("healthcheck") else context.target.settings.process_seconds


def must_be_of_user(context: Context) -> str:
    """`yes` if the processes must run as the owner of the releases: those that a release brings. What ran
    before as another user may be gone back to."""
    return "yes" if context.verb == "release" and not context.is_undo else ""


def check_title(name: str, seconds: int) -> str:
    """The title of the step that checks the processes of a release."""
    return f"check that {name} runs from the release" + (f", for {seconds} s" if seconds else "")


def supervisor_conf(settings: Settings, layout: Layout, group: str) -> str:
    """Return the programs of a group, as a configuration of supervisor. They run from `current`, so the text
    is the same for every release until the processes change."""
    user = user_line(settings)
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
        f"{'' if stop.signal == 'TERM' else f'stopsignal={stop.signal}{chr(10)}'}"
        f"stopwaitsecs={stop.seconds}\n"
        for name, count, first in ports(settings)
        for stop in [stop_of(settings, name)]
    ]
    names = ",".join(f"{group}-{name}" for name, _, _ in ports(settings))
    return "\n".join([f"; From `processes` of deploy.yml.\n[group:{group}]\nprograms={names}\n", *programs])


def user_line(settings: Settings) -> str:
    """The line with which supervisord runs a program as the owner of the releases; without it, a supervisord
    of root would run it as root."""
    if settings.connection != "local":
        return f"user={settings.sudo_user}\n"
    return f"user={os.geteuid()}\n" if os.geteuid() else ""


def changes(before: str, after: str) -> tuple[str, ...]:
    """The lines that are removed (`-`) and added (`+`) in a configuration, for people."""
    return tuple(
        line
        for line in difflib.ndiff(before.splitlines(), after.splitlines())
        if line.startswith(("- ", "+ ")) and line[2:]
    )


def counted(settings: Settings) -> str:
    """The processes for people: `2 web, 1 worker`."""
    return ", ".join(f"{count} {name}" for name, count, _ in ports(settings))


def write(settings: Settings, release: str, files: Mapping[str, str]) -> Step:
    """The step that writes `files` (texts, by their paths in the release) into a release. It fails if the
    Procfile of the release lacks one of the processes."""
    return host_script(
        f"write the process manager's configuration: {counted(settings)}",
        "release/processes",
        kind="processes",
        stdin="".join(f"==> {path}\n{files[path]}" for path in sorted(files)),
        release=release,
        names=" ".join(name for name, _, _ in ports(settings)),
    )

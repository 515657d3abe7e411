"""Has systemd, or cron, run the schedules of a role on one of its hosts.

deploy.yml does not name this plugin: a host has it if it has schedules, or had some once.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.plugins import systemd
from faprelease.plugins.hooks import Context, LogLines, hookimpl
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import Step, host_program, host_script, words

FOLDER = ".fap/schedules"
"""The folder in a release with all that is made from `schedules`."""
RUN = f"{FOLDER}/run"
"""The script in a release that runs one of its schedules."""
_LONGEST_UNIT = 200
"""The longest name of a unit without its suffix; systemd allows 255 bytes, and sudoers files need some."""
_HEADER = "# From `schedules` of deploy.yml"


@hookimpl
def deploy_looking(context: Context) -> Iterator[Step]:
    target = context.target
    if target.schedules:
        units = sorted(_units(context)) if _manager(context) != "crontab" else []
        yield _step(
            context,
            "check that schedules can be set",
            "ask",
            scope=_manager(context),
            units=" ".join(units),
            events="\n".join(event for name in target.schedules for event in _events(target, name)),
            zone=target.settings.timezone,
            owner=target.settings.sudo_user if _manager(context) == "system" else "",
        )


@hookimpl
def deploy_updated(context: Context) -> Iterator[Step]:
    target, layout = context.target, context.target.layout
    files = _files(context)
    runner = host_script(
        "",
        "schedules/run",
        state=layout.state,
        release=context.release,
        environment_file=f"{context.release}/{target.settings.environment_name}",
    )
    yield host_script(
        f"write the schedules: {', '.join(target.schedules) or 'none'}",
        "schedules/write",
        kind="schedules",
        stdin="".join(f"==> {path}\n{files[path]}" for path in sorted(files)),
        release=context.release,
        runner=runner.script,
    )


@hookimpl
def deploy_published(context: Context) -> Iterator[Step]:
    if context.verb != "restart":
        yield _set(context, context.release)


@hookimpl
def deploy_checking(context: Context) -> Iterator[Step]:
    if context.verb != "restart":
        yield _step(context, "check that the schedules are set", "check", release=context.release)


@hookimpl
def deploy_failed(context: Context) -> Iterator[Step]:
    if not context.previous:
        yield _set(context, "")


@hookimpl
def deploy_logs(context: Context, wanted: LogLines) -> Iterator[Step]:
    yield host_script(
        "show the logs of schedules",
        "schedules/logs",
        trusted=False,
        state=context.target.layout.state,
        release=context.release,
        follow="yes" if wanted.follow else "",
        reader=read_host_file("programs/loglines.py"),
        wanted=wanted.as_json(),
    )


def runs(context: Context) -> Step:
    """The step that prints how the last runs of the live release's schedules went (`views.schedules`)."""
    return _step(
        context,
        "look at the schedules",
        "runs",
        release=context.target.layout.current,
        state=context.target.layout.state,
    )


def _set(context: Context, release: str) -> Step:
    title = "set the schedules" if release else "remove the schedules"
    return _step(context, title, "apply", limit=120, release=release, state=context.target.layout.state)


def _step(context: Context, title: str, action: str, *, limit: int = 60, **more: str) -> Step:
    """The step that runs an action of host/programs/schedules.py."""
    step = host_program(
        title,
        "schedules",
        *systemd.PROGRAM,
        arguments=[action, *words({"mark": _mark(context.target), **more})],
        state=context.target.layout.state,
        limit=limit,
        trusted=False,
    )
    return replace(step, kind="schedules")


def _mark(target: Target) -> str:
    """The first line of a unit, or of the block in a crontab: the app's folder is that of one role only."""
    return f"{_HEADER}, for {target.layout.path}"


def _manager(context: Context) -> Literal["user", "system", "crontab"]:
    if not context.has_plugin("systemd"):
        return "crontab"
    return "user" if context.options(systemd.Options).systemd_user else "system"


def _files(context: Context) -> dict[str, str]:
    """What a release brings, as texts by their paths in it. Raises ConfigError for names that the manager
    can't have."""
    schedules = context.target.schedules
    if not schedules:
        return {}
    files = {f"{FOLDER}/list": "".join(f"{_line(context.target, name)}\n" for name in schedules)}
    if _manager(context) == "crontab":
        return files | {f"{FOLDER}/crontab": _crontab(context.target)}
    units = _units(context).items()
    return files | {f"{FOLDER}/{_manager(context)}/{name}": text for name, text in units}


def _line(target: Target, name: str) -> str:
    """A line of `list`; host/programs/schedules.py has its form."""
    from faprelease.config import cron

    planned = target.schedules[name]
    return f"{name} {cron.fields(planned.at)} {target.settings.timezone} {planned.command.strip()}"


def _events(target: Target, name: str) -> tuple[str, ...]:
    from faprelease.config import cron

    return cron.calendars(cron.fields(target.schedules[name].at), target.settings.timezone)


def _crontab(target: Target) -> str:
    """The block in the crontab (crontab(5)). Raises ConfigError for a path that it can't have."""
    from faprelease.config import cron

    current, mark = target.layout.current, _mark(target)
    # In a command, cron takes % as a new line, and \ may hide one.
    if re.search(r"[%\\]", target.layout.path + current):
        raise ConfigError(
            f"schedules: a crontab can't name {current}",
            hint="use a path without % and \\, or plugins: [systemd]",
        )
    lines = [
        f"{cron.fields(planned.at)} cd {shlex.quote(current)} && exec /bin/sh {RUN} {name} log"
        for name, planned in target.schedules.items()
    ]
    return "\n".join([mark, *lines, mark.replace("# From", "# End of", 1), ""])


def _units(context: Context) -> dict[str, str]:
    """A timer and a service for each schedule (systemd.timer(5)), by name."""
    target, of_user = context.target, _manager(context) == "user"
    settings, result = target.settings, {}
    user = "" if of_user else f"User={_literal(settings.sudo_user)}\n"
    for name in target.schedules:
        words = (settings.app_name, settings.stage, settings.role, name)
        unit = "-".join(re.sub(r"[^A-Za-z0-9_.-]", "_", word, flags=re.ASCII) for word in words)
        if len(unit) > _LONGEST_UNIT:
            raise ConfigError(
                f"schedules: {unit} is too long for the name of a unit",
                hint="give the schedule, the role or the stage a shorter name",
            )
        head = (
            f"{_mark(target)}\n[Unit]\n"
            f"Description={_literal(settings.app_name)}: {name} ({settings.stage} {settings.role})\n"
        )
        events = "".join(f"OnCalendar={event}\n" for event in _events(target, name))
        result[f"{unit}.timer"] = (
            f"{head}\n[Timer]\n{events}AccuracySec=1s\n\n[Install]\nWantedBy=timers.target\n"
        )
        result[f"{unit}.service"] = (
            f"{head}\n[Service]\nType=oneshot\n{user}"
            f"WorkingDirectory={_literal(target.layout.current)}\n"
            f"ExecStart=/bin/sh {RUN} {name} log\n"
            f"SyslogIdentifier={unit}\n"
        )
    return result


def _literal(value: str) -> str:
    """Escape `%`, which begins a specifier."""
    return value.replace("%", "%%")

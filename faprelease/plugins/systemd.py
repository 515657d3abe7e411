"""Runs a systemd unit from the release, or one for each of its processes; in the system's manager, by sudo,
or in the user's own."""

import posixpath
import re
import shlex
from collections.abc import Iterator
from typing import Annotated

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.plugins import handover, processes, systemd_units
from faprelease.plugins.hooks import Context, LogLines, hookimpl
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import Step, host_program, host_script, words


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The unit, its file in the release (empty: none), and how it is restarted."""

    systemd_unit: Annotated[
        str,
        about("name of the unit; with `processes`, the part before the dot begins the names of all units"),
    ] = "%(app_name)s.service"
    systemd_conf: Annotated[
        str, about("its file in the release; empty: the unit is already installed, and is only restarted")
    ] = "configs/systemd_%(stage)s_%(role)s.service"
    systemd_user: Annotated[bool, about("use the user's own systemd instead of the system's by sudo -n")] = (
        False
    )
    systemd_reload: Annotated[bool, about("reload it if it can, instead of restarting it")] = False
    systemd_check_status: Annotated[
        bool, about("check that it is active, from the new release; roll back if not")
    ] = True
    systemd_seconds: Annotated[int, about("time limit of its start, in seconds")] = 60


_DAY = 86400
"""The longest start and stop of a unit with limits of its own that is waited for, in seconds."""
PROGRAM = ("systemd", "watch", "processes", "lastlines", "detached")
"""The modules of the host program that looks at systemd."""


@hookimpl
def deploy_looking(context: Context) -> Iterator[Step]:
    if context.verb == "release":  # a rollback asks later, for the units of its own release
        yield _ask(context, before=context.target.layout.current)
    if _rendered(context):
        yield from processes.look(context)
    if handover.is_on(context):
        yield handover.ask(context, _beside(context))


@hookimpl
def claims(context: Context) -> Iterator[str]:
    yield f"systemd_unit: {_unit(context)}"
    if _rendered(context):
        yield from processes.claims(context)


@hookimpl
def deploy_reverting(context: Context) -> Iterator[Step]:
    """Ask again, now for the units of the release that a rollback goes to."""
    yield _ask(context, before=context.previous)


def _ask(context: Context, *, before: str) -> Step:
    settings, options = context.target.settings, context.options(Options)
    rendered = _rendered(context)
    return _step(
        context,
        "check that systemd can be used",
        "ask",
        verb="" if handover.is_on(context) else _verb(context),
        release=context.release,
        before=before,
        brings=" ".join(sorted(rendered)) or options.systemd_unit,
        owner=settings.sudo_user if rendered and not options.systemd_user else "",
        path=context.target.layout.path,
    )


@hookimpl
def deploy_updated(context: Context) -> Iterator[Step]:
    options = context.options(Options)
    if handover.is_on(context):
        yield from handover.write(context, _beside(context))
    elif rendered := _rendered(context):
        files = {f"{systemd_units.FOLDER}/{name}": text for name, text in rendered.items()}
        yield _own_units(context)
        yield processes.write(context.target.settings, context.release, files)
    elif options.systemd_conf:
        yield _own_units(context)
        conf = posixpath.join(context.release, options.systemd_conf)
        missing = shlex.quote(f"{conf}: the release has no such file")
        yield Step(
            title="check that the release has the unit file",
            script=f"[ -f {shlex.quote(conf)} ] || {{ echo {missing}; exit 1; }}",
        )


@hookimpl
def deploy_draining(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.start(context, _beside(context))


@hookimpl
def deploy_published(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.switch(context, _beside(context))
        return
    yield handover.leave(context, _beside(context))
    yield _restart(context, f"{_verb(context)} {_name(context)}", context.release, context.previous)


@hookimpl
def deploy_checking(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.check(context, _beside(context))
    elif arguments := watched(context):
        options, seconds = context.options(Options), processes.seconds(context)
        yield _step(
            context,
            processes.check_title(_name(context), seconds),
            "check",
            limit=2 * options.systemd_seconds + seconds + 60,
            release=arguments["release"],
            reload=arguments["reload"],
            of_user=arguments["of_user"],
            seconds=str(options.systemd_seconds),
            watched=str(seconds),
        )


def watched(context: Context) -> dict[str, str]:
    """The options of host/programs/systemd.py with which it looks at the services; none if they are not
    checked."""
    options = context.options(Options)
    if not options.systemd_check_status:
        return {}
    return {
        **_unit_options(context),
        "release": context.release,
        "reload": "yes" if options.systemd_reload else "",
        "of_user": processes.must_be_of_user(context) if options.systemd_conf else "",
    }


@hookimpl
def deploy_undraining(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.finish(context, _beside(context))


@hookimpl
def deploy_explaining(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.explain(context, _beside(context))
        return
    yield _step(
        context,
        f"show the last log lines of {_name(context)}",
        "log",
        limit=20,
        release=context.release,
        ports=processes.port_numbers(context.target.settings),
    )


@hookimpl
def deploy_uptime(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.uptime(context, _beside(context))
        return
    yield _step(context, f"see how long {_name(context)} has been up", "uptime", release=context.release)


@hookimpl
def deploy_logs(context: Context, wanted: LogLines) -> Iterator[Step]:
    options = context.options(Options)
    if handover.is_on(context):
        yield handover.logs(context, _beside(context), wanted)
        return
    yield host_script(
        f"show the log of {_name(context)}",
        "systemd/logs",
        trusted=False,
        unit=_unit(context),
        conf=options.systemd_conf,
        user="yes" if options.systemd_user else "",
        release=context.release,
        reader=read_host_file("programs/loglines.py"),
        wanted=wanted.as_json(),
    )


@hookimpl
def deploy_failed(context: Context) -> Iterator[Step]:
    if context.previous:
        return
    if handover.is_on(context):
        yield handover.clear(context, _beside(context))
    elif context.options(Options).systemd_conf:
        yield _restart(context, "restore the earlier units", "", context.release)


def _beside(context: Context) -> handover.Runner:
    """What runs each start of a release. Raises ConfigError if units can't be made. What ran beside before
    has its own units, whatever deploy.yml says by now."""
    options = context.options(Options)
    if handover.is_on(context) and not context.is_undo and not _rendered(context):
        raise ConfigError(
            'handover: beside makes its own units, which `systemd_conf: ""` forbids',
            hint="remove systemd_conf, or set handover: restart",
        )
    stem = _unit(context).rpartition(".")[0]
    return handover.Runner(
        manager="systemd",
        stem=stem,
        of_user=options.systemd_user,
        options={"user": "yes" if options.systemd_user else "", "stem": stem, "unit": _unit(context)},
    )


def _own_units(context: Context) -> Step:
    title = "check that the artifact brings no unit of another app"
    return _step(context, title, "own", release=context.release)


def _restart(context: Context, title: str, release: str, before: str) -> Step:
    return _step(
        context,
        title,
        "restart",
        limit=270 + processes.longest_stop(context.target.settings) if _rendered(context) else _DAY,
        verb=_verb(context),
        release=release,
        before=before,
        state=context.target.layout.state,
        environment=context.target.settings.environment_name,
    )


def _step(context: Context, title: str, action: str, *, limit: int = 60, **more: str) -> Step:
    """The step that runs an action of host/programs/systemd.py."""
    return host_program(
        title,
        *PROGRAM,
        arguments=[action, *words({**_unit_options(context), **more})],
        state=context.target.layout.state,
        limit=limit,
        trusted=False,
    )


def _unit_options(context: Context) -> dict[str, str]:
    options = context.options(Options)
    return {
        "unit": _unit(context),
        "conf": options.systemd_conf,
        "user": "yes" if options.systemd_user else "",
    }


def _unit(context: Context) -> str:
    unit = context.options(Options).systemd_unit
    if not re.fullmatch(r"[A-Za-z0-9@_][A-Za-z0-9@_.:\\-]*\.[a-z]+", unit):
        raise ConfigError(
            f"systemd_unit: {unit!r} is not a valid unit name", hint="for example: shop.service"
        )
    return unit


def _rendered(context: Context) -> dict[str, str]:
    """The unit files made from `processes`, by name; none if that is not set, or if an administrator manages
    the unit. Raises ConfigError for invalid settings."""
    settings, options = context.target.settings, context.options(Options)
    if not settings.processes or not options.systemd_conf:
        return {}
    if "@" in options.systemd_unit:
        raise ConfigError(
            f"systemd_unit: {options.systemd_unit!r} is an instance, but `processes` makes its own instances",
            hint="for example: shop.service",
        )
    if context.has_plugin("supervisorctl"):
        raise ConfigError(
            "supervisorctl and systemd would both run `processes`",
            hint="remove one of them from the plugins of this role",
        )
    return systemd_units.files(
        settings, context.target.layout, options.systemd_unit, of_user=options.systemd_user
    )


def _name(context: Context) -> str:
    """The name of what is restarted, for people."""
    unit = context.options(Options).systemd_unit
    return systemd_units.target_of(unit) if _rendered(context) else unit


def _verb(context: Context) -> str:
    # What failed may be starting again and again, so a reload may not reach it.
    reloads = context.options(Options).systemd_reload and not context.is_undo
    return "reload-or-restart" if reloads else "restart"

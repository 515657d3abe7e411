"""Restarts a program of supervisor after `current` is swapped, and checks that it runs from the new
release."""

import posixpath
import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from faprelease.config import own_names
from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.plugins import handover, processes
from faprelease.plugins.hooks import Context, LogLines, hookimpl
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import Step, host_program, host_script, words


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of fapistrano. The status is checked, unless that is switched off."""

    supervisor_restart: Annotated[bool, about("restart the program after its release is published")] = True
    supervisor_refresh: Annotated[bool, about("stop it before its configuration is reloaded")] = False
    supervisor_signal: Annotated[str, about("send it this signal instead of restarting it")] = ""
    supervisor_output: Annotated[bool, about("show the output of supervisorctl")] = False
    supervisor_check_status: Annotated[
        bool, about("check that it runs from the new release; roll back if not")
    ] = True
    supervisor_program: Annotated[str, about("name of the program or of a group")] = "%(app_name)s"
    supervisor_conf: Annotated[str, about("path of its configuration in the release")] = (
        "configs/supervisor_%(stage)s_%(role)s.conf"
    )
    supervisor_target: Annotated[str, about("link to its configuration, which supervisord includes")] = (
        "/etc/supervisor/conf.d/%(supervisor_program)s.conf"
    )


PROCESSES = ".fap/supervisor.conf"
"""The file in a release with the configuration made from `processes`."""

_DAY = 86400
"""The longest stop that is waited for, in seconds."""
_PROGRAM = re.compile(r"\w[\w.+@:*-]{0,99}")
_SIGNAL = re.compile(r"[A-Z0-9]*")
PROGRAM = ("supervisor", "watch", "processes", "lastlines", "loglines")
"""The modules of the host program that looks at supervisord."""


@hookimpl
def brings(context: Context) -> Iterator[str]:
    yield _options(context).supervisor_target


@hookimpl
def deploy_looking(context: Context) -> Iterator[Step]:
    options = _options(context)
    yield host_script(
        "check that supervisord can run the program",
        "supervisor/look",
        trusted=False,
        program=options.supervisor_program,
        target=options.supervisor_target,
        current=context.target.layout.current,
        own=own_names.hint(context.target, [f"supervisor_program: {options.supervisor_program}"]),
    )
    yield from processes.look(context)
    if handover.is_on(context):
        yield handover.ask(context, _beside(context))


@hookimpl
def claims(context: Context) -> Iterator[str]:
    options = _options(context)
    yield f"supervisor_program: {options.supervisor_program}"
    yield f"supervisor_target: {options.supervisor_target}"
    yield from processes.claims(context)


@hookimpl
def deploy_updated(context: Context) -> Iterator[Step]:
    options, settings = _options(context), context.target.settings
    if handover.is_on(context):
        yield from handover.write(context, _beside(context))
        return
    if settings.processes:
        text = processes.supervisor_conf(settings, context.target.layout, options.supervisor_program)
        yield processes.write(settings, context.release, {PROCESSES: text})
        return
    own = _own_conf(context)
    conf = {
        "conf": posixpath.join(context.release, own),
        "program": options.supervisor_program,
        "shown": own,
        "rendered": posixpath.join(context.release, PROCESSES),
        "path": context.target.layout.path,
    }
    yield host_program(
        f"check {own} of the release",
        "supervisor_conf",
        *PROGRAM,
        arguments=words(conf),
        state=context.target.layout.state,
        limit=60,
    )


@hookimpl
def deploy_draining(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.start(context, _beside(context))


@hookimpl
def deploy_published(context: Context) -> Iterator[Step]:
    options = _options(context)
    if handover.is_on(context):
        yield handover.switch(context, _beside(context))
        return
    yield handover.leave(context, _beside(context))
    # What failed may be starting again and again, so a signal may not reach it.
    signal = "" if context.is_undo else options.supervisor_signal
    conf, rendered = _in_current(context, _own_conf(context)), _in_current(context, PROCESSES)
    yield host_script(
        f"read how long a stop of {options.supervisor_program} may take",
        "supervisor/stop",
        conf=conf,
        rendered=rendered,
        before=context.previous,
        own=_own_conf(context),
    )
    restart = host_script(
        "",
        "supervisor/restart",
        conf=conf,
        rendered=rendered,
        before=context.previous,
        own=_own_conf(context),
        program=options.supervisor_program,
        target=options.supervisor_target,
        state=context.target.layout.state,
        signal=signal,
        restart="yes" if options.supervisor_restart else "",
        refresh="yes" if options.supervisor_refresh else "",
        processes=read_host_file("programs/processes.py") if signal else "",
        release=context.release,
        environment=context.target.settings.environment_name,
    )
    yield host_script(
        f"restart {options.supervisor_program}",
        "release/detached",
        limit=_DAY,  # the script knows how long the stop may take
        trusted=False,
        shown=options.supervisor_output,
        state=context.target.layout.state,
        work=restart.script,
    )


@hookimpl
def deploy_checking(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.check(context, _beside(context))
    elif arguments := watched(context):
        program, seconds = _options(context).supervisor_program, processes.seconds(context)
        yield host_program(
            processes.check_title(program, seconds),
            *PROGRAM,
            arguments=["check", *words(arguments), f"seconds={seconds}"],
            state=context.target.layout.state,
            limit=120 + seconds,
            trusted=False,
        )


def watched(context: Context) -> dict[str, str]:
    """The options of host/programs/supervisor.py with which it looks at the program; none if it is not
    checked."""
    options = _options(context)
    if not options.supervisor_check_status:
        return {}
    return {
        "release": context.release,
        "program": options.supervisor_program,
        "children": "yes" if options.supervisor_signal else "",
        "of_user": processes.must_be_of_user(context),
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
    program = _options(context).supervisor_program
    yield host_program(
        f"show the last log lines of {program}",
        *PROGRAM,
        arguments=[
            "log",
            *words(
                {
                    "program": program,
                    "ports": processes.port_numbers(context.target.settings),
                    "release": context.release,
                }
            ),
        ],
        state=context.target.layout.state,
        limit=20,
        trusted=False,
    )


@hookimpl
def deploy_uptime(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.uptime(context, _beside(context))
        return
    program = _options(context).supervisor_program
    yield host_program(
        f"see how long {program} has been up",
        *PROGRAM,
        arguments=["uptime", *words({"release": context.release, "program": program})],
        state=context.target.layout.state,
        limit=20,
        trusted=False,
    )


@hookimpl
def deploy_logs(context: Context, wanted: LogLines) -> Iterator[Step]:
    if handover.is_on(context):
        yield handover.logs(context, _beside(context), wanted)
        return
    program = _options(context).supervisor_program
    yield host_script(
        f"show the log of {program}",
        "supervisor/logs",
        program=program,
        reader=read_host_file("programs/loglines.py"),
        wanted=wanted.as_json(),
    )


@hookimpl
def deploy_failed(context: Context) -> Iterator[Step]:
    if context.previous:
        return
    options = _options(context)
    if handover.is_on(context):
        yield handover.clear(context, _beside(context))
    else:
        yield host_script(
            f"remove {options.supervisor_program}: there is no older release to roll back to",
            "supervisor/remove",
            trusted=False,
            program=options.supervisor_program,
            conf=_in_current(context, _own_conf(context)),
            rendered=_in_current(context, PROCESSES),
            target=options.supervisor_target,
        )


def _beside(context: Context) -> handover.Runner:
    """What runs each start of a release."""
    options = _options(context)
    folder, file = posixpath.split(options.supervisor_target)
    return handover.Runner(
        manager="supervisorctl",
        stem=options.supervisor_program,
        options={
            "folder": folder,
            "suffix": posixpath.splitext(file)[1],
            "program": options.supervisor_program,
            "link": options.supervisor_target,
        },
    )


def _options(context: Context) -> Options:
    """The plugin's own values. Raises ConfigError for names that supervisor's configuration can't have."""
    options = context.options(Options)
    if not _PROGRAM.fullmatch(options.supervisor_program):
        raise ConfigError(
            f"supervisor_program: {options.supervisor_program!r} is not a valid name of a program or group",
            hint="for example: shop",
        )
    if not _SIGNAL.fullmatch(options.supervisor_signal):
        raise ConfigError(
            f"supervisor_signal: {options.supervisor_signal!r} is not a valid signal", hint="for example: HUP"
        )
    if not options.supervisor_target.startswith("/") or not options.supervisor_target.isprintable():
        raise ConfigError(
            f"supervisor_target: {options.supervisor_target!r} is not an absolute path",
            hint="for example: /etc/supervisor/conf.d/shop.conf",
        )
    return options


def _in_current(context: Context, path: str) -> str:
    """The path through `current`, as supervisord uses it."""
    return posixpath.join(context.target.layout.current, path)


def _own_conf(context: Context) -> str:
    """The path in a release; deploy.yml of fapistrano has `current` before it."""
    return _options(context).supervisor_conf.removeprefix(f"{context.target.layout.current}/")

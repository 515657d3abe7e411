"""The steps of `handover: beside`, for the plugins of process managers: a release starts beside the one
before, is checked at its own sockets, and only then answers (decision 31)."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from faprelease.plugins import handover_units, health_request, processes
from faprelease.plugins.hooks import Context, LogLines
from faprelease.steps.model import Secret, Step, host_program, words

_PROGRAM = ("handover", "instances", "healthcheck", "watch", "processes", "lastlines", "loglines", "detached")
_MANAGERS: Mapping[handover_units.Manager, tuple[str, ...]] = {
    "systemd": ("handover_systemd", "systemd"),
    "supervisorctl": ("handover_supervisor", "supervisor"),
}
_START_SECONDS = 60
"""The time limit for a socket to appear, without a health check."""


@dataclass(frozen=True, kw_only=True)
class Runner:
    """The process manager of a role: `stem` begins the names of its units, and `options` are for its module
    on the host."""

    manager: handover_units.Manager
    stem: str
    of_user: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


def is_on(context: Context) -> bool:
    """Whether releases start beside each other."""
    return context.target.settings.handover == "beside"


def ask(context: Context, runner: Runner) -> Step:
    """The step that checks that a handover can be done."""
    return _step(
        context,
        runner,
        "check that a release can start beside the one before",
        "ask",
        limit=60,
        brings=" ".join(name for name in sorted(_files(context, runner)) if name != handover_units.PROCESSES),
        listen="yes" if context.target.settings.handover_listen else "",
        quiet=" ".join(
            f"{each.unit}:{each.quiet}"
            for each in handover_units.processes_of(context.target.settings, runner.stem)
            if each.quiet
        ),
    )


def write(context: Context, runner: Runner) -> Iterator[Step]:
    """Yield the steps that write the process manager's files into the release."""
    texts = {f"{handover_units.FOLDER}/{name}": text for name, text in _files(context, runner).items()}
    yield processes.write(context.target.settings, context.release, texts)


def start(context: Context, runner: Runner) -> Step:
    """The step that starts the release beside the one before, and checks it."""
    health, settings = context.options(health_request.Options), context.target.settings
    return _step(
        context,
        runner,
        f"start it beside the release before, and check it: {processes.counted(settings)}",
        "start",
        limit=_within(context)
        + health.healthcheck_timeout
        + settings.process_seconds
        + 120
        + processes.longest_stop(settings),
        stdin=_input(context, runner),
        fresh="yes" if context.verb == "restart" else "",
        undo="yes" if context.is_undo else "",
        environment=settings.environment_name,
        **_proof(context),
    )


def switch(context: Context, runner: Runner) -> Step:
    """The step that has the release answer, and its workers run."""
    link = f"{context.target.layout.run}/{handover_units.socket(1)}"
    return _step(
        context,
        runner,
        f"hand over {link}",
        "switch",
        limit=120 + processes.longest_stop(context.target.settings),
    )


def check(context: Context, runner: Runner) -> Step:
    """The step that checks that the release answers."""
    settings, health = context.target.settings, context.options(health_request.Options)
    return _step(
        context,
        runner,
        f"check that the release answers at {context.target.layout.run}/{handover_units.socket(1)}",
        "check",
        limit=_within(context) + health.healthcheck_timeout + settings.process_seconds + 120,
        stdin=_input(context, runner),
        workers=str(settings.process_seconds),
        listens=""
        if context.is_undo
        else " ".join(address for address, _ in handover_units.listens(settings)),
        undo="yes" if context.is_undo else "",
        **_proof(context),
    )


def finish(context: Context, runner: Runner) -> Step:
    """The step that ends the processes of the release before, or keeps them for a rollback."""
    keep = handover_units.keep_seconds(context.target.settings, runner.manager)
    title = f"keep the processes before for {keep} s" if keep else "end the processes before"
    return _step(
        context,
        runner,
        title,
        "finish",
        limit=120 + processes.longest_stop(context.target.settings),
        undo="yes" if context.is_undo else "",
        keep=str(keep),
    )


def uptime(context: Context, runner: Runner) -> Step:
    """The step that prints for how long the processes of what answers have been up."""
    return _step(context, runner, "see how long the processes have been up", "uptime", limit=20)


def explain(context: Context, runner: Runner) -> Step:
    """The step that shows what the processes of the release logged last."""
    return _step(context, runner, "show the last log lines of the processes", "explain", limit=20)


def logs(context: Context, runner: Runner, wanted: LogLines) -> Step:
    """The step that prints the logs of what answers."""
    return _step(context, runner, "show the logs of the processes", "logs", limit=60, wanted=wanted.as_json())


def clear(context: Context, runner: Runner) -> Step:
    """The step that undoes the first release."""
    return _step(context, runner, "end the processes: there is no older release", "clear", limit=300)


def leave(context: Context, runner: Runner) -> Step:
    """The step that ends what an earlier `handover: beside` left. It does nothing on other hosts."""
    return _step(
        context,
        runner,
        "end what runs beside",
        "clear",
        limit=300,
        when=f"[ -L {shlex.quote(context.target.layout.run)}/{handover_units.socket(1)} ]",
    )


def _step(
    context: Context,
    runner: Runner,
    title: str,
    action: str,
    *,
    limit: int,
    stdin: Secret | None = None,
    when: str = "",
    **more: str,
) -> Step:
    layout, modules = context.target.layout, _MANAGERS[runner.manager]
    options = {
        "run": layout.run,
        "state": layout.state,
        "group": context.target.settings.run_group,
        "release": context.release,
        "manager": modules[0],
        **runner.options,
        **more,
    }
    return host_program(
        title,
        *_PROGRAM,
        *modules,
        arguments=[action, *words(options)],
        state=layout.state,
        stdin=stdin,
        limit=limit,
        trusted=False,
        when=when,
    )


def _files(context: Context, runner: Runner) -> Mapping[str, str]:
    settings, layout = context.target.settings, context.target.layout
    return handover_units.files(settings, layout, runner.stem, runner.manager, of_user=runner.of_user)


def _input(context: Context, runner: Runner) -> Secret:
    """The files for a release without its own, and the request of the health check, which may hold a key."""
    files = {"files": _files(context, runner)}
    if not context.has_plugin("healthcheck"):
        return Secret(_json(files), _json(files))
    health = context.options(health_request.Options)
    if not health.healthcheck_url and not health.healthcheck_port:
        url = f"http://localhost/{health.healthcheck_path.removeprefix('/')}"
        health = msgspec.structs.replace(health, healthcheck_url=url)
    request = health_request.curl_config(health_request.url_of(health), health)
    return Secret(
        _json({**files, "request": request.value}),
        _json({**files, "request": request.redacted}),
        request.secrets,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _within(context: Context) -> int:
    has_check = context.has_plugin("healthcheck")
    return context.options(health_request.Options).healthcheck_seconds if has_check else _START_SECONDS


def _proof(context: Context) -> dict[str, str]:
    health, layout = context.options(health_request.Options), context.target.layout
    return {
        "seconds": str(processes.seconds(context)),
        "within": str(_within(context)),
        "artifact": f"{layout.records}/{context.release.rpartition('/')[2]}.artifact.json",
        "status": str(health.healthcheck_status),
        "shows": health.healthcheck_shows,
    }

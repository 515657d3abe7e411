"""Admin processes (12factor.net, XII): a command or a shell in the live release, with its environment and
user; and the logs of what runs."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from faprelease.config.target import Target
from faprelease.errors import ConfigError, FapError, UsageError
from faprelease.plan.host import Host
from faprelease.plugins.hooks import Context, LogLines
from faprelease.plugins.schedules import RUN
from faprelease.run.run import ConnectedHosts, Run
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import NOTHING, Step, host_script, keep_program
from faprelease.steps.place import Place
from faprelease.transports import interactive

SHELL = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}"')


@dataclass(frozen=True, kw_only=True)
class Where:
    """The host of a role, by name (empty: the first, or with `of_schedules` the one that runs its schedules),
    and the release (empty: the live one)."""

    host: str = ""
    everywhere: bool = False
    release: str = ""
    of_schedules: bool = False


def command_of_schedule(name: str) -> list[str]:
    """The command that runs a schedule of the release that is the working folder."""
    script = f'[ -f {RUN} ] || {{ echo "this release has no schedules"; exit 66; }}; exec /bin/sh {RUN} "$0"'
    return ["/bin/sh", "-c", script, name]


def once(run: Run, argv: Sequence[str], where: Where, *, title: str, event: str = "once") -> int:
    """Run a command on one host of the role, or on one after another up to the first failure; return its exit
    code. `title` is its name in the ledger, since arguments may be secrets.

    Raises UsageError for an unknown host, FapError for an unknown release.
    """
    with on_chosen_hosts(run, where).connect(lock=False) as connected:
        releases = {host.place: _release(host, where.release) for host in connected.hosts}
        info = connected.info
    for host in connected.hosts:
        if where.everywhere:
            run.report.say(f"{host.place}:")
        release = releases[host.place]
        line = {**begun(event, info.who, title), "release": release}
        code = run_in(host.target, release, argv, line, info.token, told=host.target.layout.state)
        if code:
            return code
    return 0


def logs(run: Run, where: Where, wanted: LogLines, show: Callable[[str, str, bool], None]) -> int:
    """Print the wanted lines of the logs that the plugins know of; return the exit code.

    Those of all hosts come side by side: `show` gets the name of a host, a line, and whether it is one of
    standard error.

    Raises ConfigError if no plugin can show logs.
    """
    with on_chosen_hosts(run, where).connect(lock=False) as connected:
        steps = {host.place: _log_steps(host, wanted) for host in connected.hosts}
        _keep_programs(connected, steps)
    settings = run.targets[0].settings
    if settings.schedules and settings.schedules_host not in {host.target.host for host in connected.hosts}:
        run.report.say(f"for the logs of schedules: --on {settings.schedules_host}")
    if len(run.targets) > len(connected.hosts) and not where.host:
        shown = connected.hosts[0].target.host
        run.report.say(f"these are the logs of {shown}; of all {len(run.targets)} hosts: --everywhere")
    scripts = [
        (host.target.host, login_of(host.target), _together(steps[host.place])) for host in connected.hosts
    ]
    if wanted != LogLines(follow=wanted.follow):
        for plugin in connected.hosts[0].plugins.without_log_lines():
            run.report.say(f"warning: the plugin {plugin} ignores -n, --since and --grep")
    if not where.everywhere:
        return interactive.run(*scripts[0][1:], on_interrupt="")
    width = max(len(name) for name, _, _ in scripts)
    padded = [(name.ljust(width), login, script) for name, login, script in scripts]
    return interactive.run_side_by_side(padded, show)


def _log_steps(host: Host, wanted: LogLines) -> tuple[Step, ...]:
    running = host.target.layout.release(host.state.current) if host.state.current else ""
    steps = host.plugins.logs(Context(host.target, "logs", running, ""), wanted)
    if not steps:
        raise ConfigError(
            f"{host.place}: no plugin can show logs",
            hint="supervisorctl and systemd can; your own plugin needs a hook deploy_logs",
        )
    return steps


def _keep_programs(connected: ConnectedHosts, steps: Mapping[Place, Sequence[Step]]) -> None:
    """Have hosts keep the programs of some steps, which will run outside of a session: an older fapkit may
    have released there."""
    programs = {place: [keep_program(step) for step in own if step.program] for place, own in steps.items()}
    for number in range(max(map(len, programs.values()))):
        now = {place: own[number] for place, own in programs.items() if number < len(own)}
        connected.connections.run("keep the programs", partial(_step_of, now))


def _step_of(steps: Mapping[Place, Step], target: Target) -> Step:
    return steps.get(target.place, NOTHING)


def title_of(words: Sequence[str]) -> str:
    """Return the first word of a command that is not an assignment: `python` for `FOO=1 python manage.py`."""
    return next((word for word in words if "=" not in word), "sh")


def login_of(target: Target) -> interactive.Login:
    """Return where commands for a target run."""
    settings = target.settings
    return interactive.Login(
        target.host,
        settings.user,
        settings.sudo_user,
        settings.connection == "local",
        Path("~/.ssh/config").expanduser() if settings.use_ssh_config else None,
    )


def begun(event: str, who: str, title: str) -> dict[str, object]:
    """Return the ledger line of a command that starts now, without where it runs."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"at": at, "event": event, "who": who, "command": title}


def run_in(
    target: Target, release: str, argv: Sequence[str], line: dict[str, object], run_id: str, *, told: str
) -> int:
    """Run a command in a release of a target; return its exit code. The line goes to the ledger in the state
    folder `told`; if that is the release's own, files that the command changed are listed."""
    layout = target.layout
    folder = layout.release(release)
    environment_file = f"{folder}/{target.settings.environment_name}"
    compare = host_script("", "look/compare_tree", state=layout.state, release=folder, id=release).script
    config = {
        "release": folder,
        "start": host_script("", "once/start", environment_file=environment_file).script,
        "argv": list(argv),
        "state": told,
        "id": run_id,
        "line": line,
        "compare": compare if told == layout.state else "",
    }
    words = (
        "python3",
        "-I",
        "-S",
        "-c",
        read_host_file("once/once.py"),
        msgspec.json.encode(config).decode(),
    )
    pid = shlex.quote(f"{told}/once/{run_id}")
    return interactive.run(
        login_of(target),
        f"exec {shlex.join(words)}",
        on_interrupt=f'read -r pid <{pid} && kill -"$signal" "-$pid"',
    )


def _together(steps: Sequence[Step]) -> str:
    """Return one script for all steps, run side by side, since some never end."""
    return "\n".join([*(f"(\n{step.script}\n) &" for step in steps), "wait"])


def on_chosen_hosts(run: Run, where: Where) -> Run:
    """Return the run on the chosen hosts alone, as others may be down. Raises UsageError for an unknown
    one."""
    if where.everywhere:
        return run
    wanted = where.host or (run.targets[0].settings.schedules_host if where.of_schedules else "")
    named = [target for target in run.targets if not wanted or target.host == wanted]
    if not named:
        known = ", ".join(target.host for target in run.targets)
        raise UsageError(f"{wanted} is not a host of this role", hint=f"one of: {known}")
    return replace(run, targets=named[:1])


def _release(host: Host, wanted: str) -> str:
    state = host.state
    if not wanted and state.current:
        return state.current
    found = state.release(wanted)
    if found and found.present:
        return found.id
    there = ", ".join(release.id for release in state.releases if release.present) or "none"
    raise FapError(
        f"{host.place}: there is no release {wanted}"
        if wanted
        else f"{host.place}: nothing is released there",
        hint=f"releases on {host.target.host}: {there}",
    )

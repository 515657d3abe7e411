"""The findings of the doctor about hosts, by factor (12factor.net): rules from facts to findings. Pure.

A `wrong` finding breaks the next release or the live one; a `note` is merely worth knowing.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from artifact_store.artifact.manifest import Manifest
from artifact_store.core.finding import Finding
from faprelease.config.target import Target
from faprelease.errors import FapError
from faprelease.hosts import fitness
from faprelease.hosts.state import HostState
from faprelease.steps.place import Place
from faprelease.views import requirements
from faprelease.views.host_report import HostReport, python_of

FEW_INODES = 20_000
"""Fewer free inodes are reported: a release has some thousands of files."""
SKEW = 30
"""How many seconds clocks may differ. Records and ids of releases depend on them."""
SLOW_STOP = 10
"""The longest stop in seconds that is not reported; supervisor's own limit, after which it sends SIGKILL."""
_SHOWN = 4


class OnHosts(Finding, frozen=True):
    """A finding, and its hosts; empty for the stage as a whole."""

    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class InspectedHost:
    """One role on one host, and everything that is known about it."""

    target: Target
    state: HostState
    report: HostReport
    clock: tuple[float, float]
    """The controller's clock before and after the inspection, in seconds since 1970."""
    wanted: Manifest | None = None
    """The manifest of the artifact that it should run."""
    health: str = ""
    """`healthy`, or what the plugins' checks found wrong; empty without checks."""

    @property
    def version(self) -> str:
        """The version that is live, or the release's id without one; empty if nothing is live."""
        live = self.state.release(self.state.current)
        return (live.artifact.version if live.artifact else live.id) if live else ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """All inspected hosts."""

    hosts: tuple[InspectedHost, ...]

    def others(self, inspected: InspectedHost) -> list[InspectedHost]:
        """All hosts of the same role, including this one."""
        role = inspected.target.settings.role
        return [each for each in self.hosts if each.target.settings.role == role]


Rule = Callable[[InspectedHost, Case], Iterator[Finding]]


def findings(case: Case, lost: Mapping[Place, str]) -> list[OnHosts]:
    """The findings of all rules, with equal findings of several hosts merged. `lost` are hosts that could not
    be reached, with the reason."""
    hint = "check that you can log in: ssh USER@HOST; see docs/how-to/hosts.md"
    result = [(place, Finding("access", "wrong", why, hint)) for place, why in lost.items()]
    for rule in RULES:
        result += [(p.target.place, finding) for p in case.hosts for finding in rule(p, case)]
    return together(result)


def together(findings: Iterable[tuple[Place, Finding]]) -> list[OnHosts]:
    """Merge equal findings of several hosts, in the order of the first."""
    hosts: dict[Finding, list[str]] = {}
    for place, finding in findings:
        hosts.setdefault(finding, []).append(str(place))
    return [
        OnHosts(**msgspec.structs.asdict(finding), hosts=tuple(names)) for finding, names in hosts.items()
    ]


def _access(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    settings = inspected.target.settings
    sudo = f", {settings.sudo_user} by sudo" if settings.sudo_user != settings.user else ""
    if settings.connection == "local":
        yield Finding("access", "right", "is this machine")
    else:
        yield Finding("access", "right", f"reachable over {settings.connection}, as {settings.user}{sudo}")


def _clock(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    before, after = inspected.clock
    skew = max(before - inspected.report.time - 1, inspected.report.time - after, 0)
    if skew > SKEW:
        says = f"its clock and this machine's differ by {round(skew)} s"
        yield Finding("clock", "wrong", says, "on the host: sudo timedatectl set-ntp true")
    else:
        yield Finding("clock", "right", "agrees with this machine's clock")


def _host(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    inodes, lacking = inspected.report.inodes, list(fitness.problems(inspected.target, inspected.state))
    for problem in lacking:
        yield _wrong("host", inspected, problem)
    if inodes is not None and inodes < FEW_INODES:
        fix = "keep fewer releases (keep_releases), see: df -i"
        yield Finding("host", "wrong", f"only {inodes} inodes are free", fix)
    elif not lacking:
        yield Finding("host", "right", "curl, python3, disk space and a writable folder")


def _wrong(check: str, inspected: InspectedHost, problem: FapError) -> Finding:
    says = problem.message.removeprefix(f"{inspected.target.place}: ")
    return Finding(check, "wrong", says, "; ".join(map(str.strip, problem.hint.splitlines())))


def _codebase(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    versions = {each.version for each in case.others(inspected)}
    if len(versions) > 1:
        fix = f"faprelease {inspected.target.settings.stage}"
        yield Finding(
            "I codebase",
            "wrong",
            f"{inspected.version or 'nothing'} is live, but not on all hosts of its role",
            fix,
        )
    elif inspected.version:
        yield Finding("I codebase", "right", f"{inspected.version} is live")


def _interpreters(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    """Releases whose Python is gone, or is another one now: as after an upgrade of the operating system."""
    report, live = inspected.report, inspected.state.current
    broken = [each for each in report.interpreters if each.now != each.installed]
    if not broken:
        return
    lacking = ", ".join(sorted({f"Python {each.installed}" for each in broken}))
    is_live = live in {each.release for each in broken}
    names = _some([f"{each.release} (live)" if each.release == live else each.release for each in broken])
    kept = len(report.interpreters)
    says = f"{report.system or 'the host'} has no {lacking} in its old place: "
    says += f"{len(broken)} of {kept} releases will not start: {names}"
    again = f"faprelease sync {inspected.target.settings.stage} --reinstall"
    if is_live:
        yield Finding(
            "II dependencies", "wrong", says, f"install {lacking}, or a version packed for it: {again}"
        )
    else:
        yield Finding(
            "II dependencies", "note", says, "they can't be rolled back to; the live one is not of them"
        )


def _dependencies(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    if inspected.wanted is None:
        return
    name, python = inspected.wanted.version, python_of(inspected.wanted)
    wrong = list(requirements.dependencies(inspected.wanted, inspected.report))
    for says, fix in wrong:
        yield Finding("II dependencies", "wrong", says, fix)
    if not wrong:
        yield Finding("II dependencies", "right", f"has everything that {name} needs, with Python {python}")


def _config(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    factor, target, report = "III config", inspected.target, inspected.report
    linked = target.settings.linked_files
    if report.readable_environment:
        fix = f"chmod 600 {report.readable_environment}"
        yield Finding(factor, "wrong", "every user can read the environment file", fix)
    if report.readable:
        places = " ".join(f"{target.layout.shared}/{name}" for name in report.readable)
        says = f"every user can read {_some(report.readable)}"
        yield Finding(factor, "note", says, f"if they contain secrets: chmod o= {places}")
    if problem := next(fitness.missing_files(target, inspected.state), None):
        yield _wrong(factor, inspected, problem)
    elif linked and not report.readable:
        yield Finding(factor, "right", f"{_some(linked)}: present, and not every user can read them")
    if inspected.wanted is None:
        return
    wrong = list(requirements.variables(inspected.wanted, target, report.variables))
    for says, fix in wrong:
        yield Finding(factor, "wrong", says, fix)
    if inspected.wanted.requires_env and not wrong:
        yield Finding(factor, "right", f"{', '.join(inspected.wanted.requires_env)}: set")


def _backing(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    if inspected.target.settings.preflight:
        says = "preflight checks the backing services before a release is published"
        yield Finding("IV backing services", "right", says)
    else:
        fix = "in deploy.yml: preflight: venv/bin/python manage.py check --database default"
        yield Finding("IV backing services", "note", "nothing checks them before a release is published", fix)


def _separation(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    factor, report = "V separation", inspected.report
    if not inspected.version:
        return
    again = f"a new release fixes this: faprelease {inspected.target.settings.stage}"
    fix = "sysctl user.max_user_namespaces=10000, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0"
    if report.contained is None:
        yield Finding(factor, "note", "there is no record of how the live release was installed", again)
    elif report.contained.open:
        says = f"the last install was not contained: {report.contained.open}"
        protected = inspected.target.settings.protected
        yield Finding(factor, "wrong" if protected else "note", says, fix)
    else:
        yield Finding(factor, "right", "the last install was contained: " + report.contained.contained)
    if report.writable:
        yield Finding(factor, "note", "the live release is writable", again)


def _processes(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    factor, report, stage = "VI processes", inspected.report, inspected.target.settings.stage
    if report.changed:
        says = f"{len(report.changed)} files of the live release changed: {_some(report.changed)}"
        fix = f"list them: faprelease status {stage} --verify; release again: faprelease {stage}"
        yield Finding(factor, "wrong", says, fix)
    elif inspected.version and report.sealed:
        yield Finding(factor, "right", "no file of the live release changed since its install")
    elif inspected.version:
        yield Finding(
            factor,
            "note",
            "the live release was not made read-only",
            f"the next one will be: faprelease {stage}",
        )
    for name, pid in report.stale:
        fix = f"faprelease restart {stage}, or on the host: ps -fp {pid}"
        yield Finding(factor, "note", f"process {pid} still runs from release {name}, which is not live", fix)


def _port(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    factor = "VII port binding"
    settings = inspected.target.settings
    for folder in inspected.report.closed:
        says = f"a web server of another user can't reach the sockets: {folder} is closed to it"
        yield Finding(factor, "note", says, f"on the host: chmod o+x {folder}")
    if settings.handover == "beside" and any(name.endswith("healthcheck") for name in settings.plugins):
        return  # it answers at sockets, and its health is another check
    if inspected.report.port is None:
        fix = "in deploy.yml: plugins: [curl, supervisorctl, healthcheck], and healthcheck_port: 8000"
        says = "no port is configured, so it is not checked that a release answers"
        if settings.is_web:
            says = "no healthcheck: a version that runs and answers nothing would count as live"
        yield Finding(factor, "note", says, fix)
        return
    code, message = inspected.report.port
    if code == 0:
        yield Finding(factor, "right", f"{message.partition(' by ')[0]} by the live release")
    elif code == 3 and not inspected.version:
        yield Finding(factor, "right", f"{message}, so it is free for the first release")
    elif code in (1, 3):
        yield Finding(
            factor,
            "wrong",
            message,
            f"faprelease logs {_place(inspected)}; faprelease restart {_place(inspected)}",
        )
    else:
        yield Finding(factor, "note", message, "on the host, as root: ss -ltnp")


def _concurrency(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    factor = "VIII concurrency"
    if not inspected.version:
        fix = f"faprelease {inspected.target.settings.stage}, or remove it from deploy.yml"
        yield Finding(factor, "wrong", "is in deploy.yml, but runs no release", fix)
    elif inspected.health not in ("", "healthy"):
        line = (inspected.health.strip().splitlines() or [""])[-1]
        yield Finding(factor, "wrong", f"is unhealthy: {line}", f"faprelease logs {_place(inspected)}")
    elif inspected.health:
        yield Finding(factor, "right", "is healthy: the checks of its plugins pass")


def _disposability(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    yield from _restarts(inspected)
    conf = inspected.report.conf
    if conf is None:
        return
    lacking = [key for key in ("stopasgroup", "killasgroup") if f"{key}=true" not in conf]
    if lacking:
        fix = f"in supervisor's program: {', '.join(f'{key}=true' for key in lacking)}"
        yield Finding("IX disposability", "note", "a stop may leave child processes running", fix)
    else:
        yield Finding("IX disposability", "right", "supervisor stops it with all its child processes")


def _restarts(inspected: InspectedHost) -> Iterator[Finding]:
    """The times of the last stop and start, in whole seconds, so that equal findings are merged."""
    if inspected.report.restarted is None:
        return
    stop, start = map(math.ceil, inspected.report.restarted)
    if stop > SLOW_STOP:
        fix = "make it exit on SIGTERM, and begin its Procfile line with exec; see: fapbuild check"
        says = f"took {stop} s to stop at its last restart: it may ignore SIGTERM"
        yield Finding("IX disposability", "note", says, fix)
    else:
        says = f"stopped within {max(stop, 1)} s and started within {max(start, 1)} s at its last restart"
        yield Finding("IX disposability", "right", says)


def _parity(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    def kind(each: InspectedHost) -> str:
        return f"Python {(each.report.pythons or ('none',))[0]}, glibc {each.report.glibc or 'none'}"

    kinds = {kind(each) for each in case.others(inspected)}
    if len(kinds) > 1:
        fix = "make all hosts of a role the same"
        yield Finding("X parity", "note", f"{kind(inspected)}, but other hosts of its role differ", fix)
    else:
        yield Finding("X parity", "right", f"{kind(inspected)}, like all hosts of its role")


def _logs(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    if inspected.report.logs:
        says = f"log files are in the release: {_some(inspected.report.logs)}"
        fix = "log to stdout, which supervisor and journald keep; or to shared/ (linked_dirs)"
        yield Finding("XI logs", "note", says, fix)
    elif inspected.version:
        yield Finding("XI logs", "right", "no log files are in the release")


def _admin(inspected: InspectedHost, case: Case) -> Iterator[Finding]:
    if inspected.report.run:
        says = f"one-off commands run in the release: faprelease once {_place(inspected)} -- COMMAND"
        yield Finding("XII admin processes", "right", says)
    elif inspected.version:
        yield Finding("XII admin processes", "note", "the release has no .fap/run", "pack it with fapbuild")


RULES: tuple[Rule, ...] = (
    _access,
    _clock,
    _host,
    _codebase,
    _interpreters,
    _dependencies,
    _config,
    _backing,
    _separation,
    _processes,
    _port,
    _concurrency,
    _disposability,
    _parity,
    _logs,
    _admin,
)


def _place(inspected: InspectedHost) -> str:
    return f"{inspected.target.settings.stage} {inspected.target.settings.role}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more

"""What users notice of a release: a load on nginx in front of an app on one host, which starts in 2 s, while
it is released and rolled back, and while versions are released that don't work.

Ways to replace the processes are `handover: beside`, and what people use instead. Each scene has a host, a
process manager and an nginx of its own.
"""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import locked_app
from bench.load import Answer, Load, load
from bench.overlap import overlap
from bench.processes import BIN, LINES, BenchError, output
from tests.parts.fleet import Host, fleet
from tests.parts.fronts import free_port, front, nginx_conf, snippets
from tests.parts.supervisord import Supervisord, supervisord_on
from tests.parts.systemd import Systemd, systemd_on

_STEP, _PASSED = '{"event":"step"', '"code":0,'
UnderLoad = Callable[[], AbstractContextManager[Load]]
"""Starts the load of a scene."""
APP = Path(__file__).parent / "apps" / "handover"
GOOD = ("one", "two")
BAD = ("hangs", "no-start", "dies", "answers-500")
CHECK_SECONDS = 10
"""The time limit of a health check."""
PAUSE = 3.0
"""Seconds between two commands."""
WAYS = ("beside", "listen", "restart", "reload", "overlap")
MANAGERS = ("supervisor", "systemd")
SERVERS = {"gunicorn": "wsgi", "uvicorn": "asgi"}
"""The web servers, and what serve.sh calls them: values of .env are redacted in what faprelease prints."""

DEPLOY = """\
app_name: slow
environment: {{SERVER: {server}}}
healthcheck_port: {port}
healthcheck_path: /health
healthcheck_seconds: {seconds}
process_port: {port}
stage_role_configs:
  production:
    web: {{hosts: [{host}]}}
"""
OF_MANAGER = {
    "supervisor": "plugins: [supervisorctl, healthcheck]\nsupervisor_program: slow\n"
    "supervisor_target: /home/deploy/supervisor/conf.d/slow.conf\n",
    "systemd": "plugins: [systemd, healthcheck]\nsystemd_user: true\nsystemd_unit: slow.service\n",
}
OF_WAY = {
    "beside": "processes: {web: 1}\nhandover: beside\n",
    "listen": "processes: {web: 1}\nhandover: beside\nhandover_listen: 127.0.0.1:PORT\n",
    "restart": "processes: {web: 1}\n",
    "reload": "supervisor_signal: HUP\nsupervisor_conf: hup.conf\n",
    "overlap": "",
}
CURRENT = "/home/deploy/www/slow/current"
_GUNICORN = (
    f"{CURRENT}/venv/bin/gunicorn --chdir {CURRENT} --bind 127.0.0.1:PORT --workers 2 --threads 16"
    " --no-control-socket slow.wsgi:app"
)
RELOADED = {
    "hup.conf": f"[program:slow]\ncommand={_GUNICORN}\ndirectory={CURRENT}\nautorestart=true\n"
    "stopasgroup=true\nkillasgroup=true\n",
    "hup.service": f"[Unit]\nStartLimitIntervalSec=0\n[Service]\nWorkingDirectory={CURRENT}\n"
    f"ExecStart={_GUNICORN}\nExecReload=/bin/kill -HUP $MAINPID\nRestart=on-failure\nRestartSec=1\n"
    "[Install]\nWantedBy=default.target\n",
}
"""What runs gunicorn by way of `current`, as a reload needs it."""


@dataclass(frozen=True)
class Scene:
    """One way to release, with one process manager, one web server, and one load."""

    way: str
    manager: str
    server: str
    rate: int
    """Requests that begin in a second."""

    @property
    def possible(self) -> bool:
        """Whether people can do it: only gunicorn has a reload and shares a port; the script that overlaps
        knows no process manager."""
        if self.way == "overlap":
            return self.server == "gunicorn" and self.manager == MANAGERS[0]
        return self.server == "gunicorn" or self.way != "reload"


@dataclass(frozen=True)
class Latency:
    """Of good answers, in seconds."""

    median: float
    most: float
    """99.9 % took no longer."""
    longest: float

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "Latency":
        """Raises BenchError if there is no good answer."""
        seconds = sorted(answer.seconds for answer in answers if answer.good)
        if not seconds:
            raise BenchError("the app gave no good answer")
        return cls(seconds[len(seconds) // 2], seconds[int(len(seconds) * 0.999)], seconds[-1])


@dataclass(frozen=True)
class Row:
    """Releases and rollbacks of good versions."""

    sent: int
    failed: int
    unproven: int
    """Answers from a version whose health check had not passed."""
    quiet: Latency
    """Without a release."""
    busy: Latency
    release: float
    """The longest time from the prompt until all requests had good answers from the new version."""
    rollback: float


@dataclass(frozen=True)
class BadRow:
    """The release of a version that doesn't work."""

    version: str
    sent: int
    failed: int
    unproven: int
    """Answers of that version."""
    exit: int
    seconds: float
    """From the prompt to the prompt."""
    told: float | None
    """Seconds from its first crash until the error was shown; None if it did not crash."""


@dataclass(frozen=True)
class Artifacts:
    """The packed versions, in a folder that is served, and the port that their files name."""

    url: str
    files: Mapping[str, Path]
    port: int

    def flags(self, version: str) -> tuple[str, ...]:
        file = self.files[version]
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return ("--curl-url", f"{self.url}/{file.name}", "--curl-sha256", digest)


@dataclass(frozen=True)
class Told:
    """How a command ended."""

    began: float
    seconds: float
    exit: int
    lines: Sequence[tuple[float, str]]
    """What it printed, and when."""

    @property
    def said(self) -> str:
        return "".join(line for _, line in self.lines[-LINES:])

    def failure_shown(self) -> float:
        """When the first step that failed was shown."""
        failed = (at for at, line in self.lines if _STEP in line and _PASSED not in line)
        return next(failed, self.began + self.seconds)


def pack(folder: Path) -> tuple[Mapping[str, Path], int]:
    """Pack every version; their files, and the port that is written in them."""
    repository, port = folder / "repository", free_port()
    shutil.copytree(APP, repository)
    for name, text in RELOADED.items():
        (repository / name).write_text(text.replace("PORT", str(port)))
    locked_app.git(repository, "init", "--quiet", "--initial-branch=main")
    files = {}
    for version in (*GOOD, *BAD):
        (repository / "slow/version.py").write_text(f'VERSION = "{version}"\n')
        locked_app.commit(repository)
        files[version] = locked_app.pack(repository, folder)
    return files, port


class Site:
    """The app on one host, with the process manager and the way of the scene."""

    def __init__(self, scene: Scene, folder: Path, host: Host, artifacts: Artifacts) -> None:
        self.scene, self._folder, self._host, self._artifacts = scene, folder, host, artifacts
        ssh = folder / ".ssh"
        ssh.mkdir(mode=0o700, parents=True)
        shutil.copy(host.ssh_config, ssh / "config")
        self._environment = {"HOME": str(folder), "PATH": os.environ["PATH"], "FAP_WHO": "bench"}
        of_way = OF_WAY[scene.way].replace("PORT", str(artifacts.port))
        if (scene.way, scene.manager) == ("reload", "systemd"):
            of_way = "systemd_reload: true\nsystemd_conf: hup.service\n"
        of_manager = OF_MANAGER[scene.manager] if scene.way != "overlap" else "plugins: []\n"
        text = DEPLOY.format(
            server=SERVERS[scene.server], port=artifacts.port, seconds=CHECK_SECONDS, host=host.name
        )
        (folder / "deploy.yml").write_text(of_manager + of_way + text)

    def release(self, version: str) -> Told:
        return self._run("release", *self._artifacts.flags(version), version=version)

    def rollback(self, version: str) -> Told:
        """Go back to the release before, which is of that version."""
        return self._run("rollback", version=version)

    def upstream(self) -> str:
        """What `faprelease hosts` prints for nginx on the host itself."""
        argv = [BIN / "faprelease", "hosts", "production", "web", "--format", "nginx"]
        if self.scene.way == "overlap":
            argv += ["--plugins", "healthcheck"]
        printed = output(argv, cwd=self._folder, environment=self._environment)
        return printed.replace(f" {self._host.name}:", " 127.0.0.1:")

    def crashed(self) -> float | None:
        """When the app crashed first since this was asked last; None if it did not."""
        file = self._host.path("/home/deploy/crashed")
        times = file.read_text().split() if file.exists() else []
        file.unlink(missing_ok=True)
        return float(times[0]) if times else None

    def _run(self, verb: str, *flags: str, version: str) -> Told:
        began = time.time()
        code, lines = self._command(verb, *flags)
        if code == 0 and self.scene.way == "overlap":
            code = overlap(self._host, self._artifacts.port, version, CHECK_SECONDS)
            if code:
                self._command("rollback")
        return Told(began, time.time() - began, code, lines)

    def _command(self, verb: str, *flags: str) -> tuple[int, Sequence[tuple[float, str]]]:
        """The exit code, and the lines that were printed, each with its time."""
        with subprocess.Popen(
            [BIN / "faprelease", verb, "--yes", "--json-lines", *flags, "production", "web"],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines = [(time.time(), line) for line in process.stdout]
        return process.returncode, lines


def measure(
    scene: Scene, folder: Path, artifacts: Artifacts, runs: int, bad: Sequence[str], quiet: float
) -> Iterator[Row | BadRow]:
    """Release and roll back so many times, then release the versions `bad`, which don't work. `quiet` is how
    many seconds of load without a release are measured first. Raises BenchError if a good version is refused,
    or does not answer after its release."""
    with ExitStack() as stack:
        (host,) = stack.enter_context(fleet(folder / "fleet", 1))
        stack.enter_context(_manager(scene.manager, host))
        site = Site(scene, folder / "controller", host, artifacts)
        _good(site.release(GOOD[0]))
        port = free_port()
        (folder / "front").mkdir()
        conf = nginx_conf(folder / "front", site.upstream() + _site(port), user="www-data")
        as_root = partial(host.command, user="root")
        stack.enter_context(front("nginx", folder / "front", conf, port, as_root))
        under_load = partial(load, port, scene.rate, folder / "load")
        with under_load() as still:
            time.sleep(quiet)
        yield _releases(site, under_load, Latency.of(still.answers), runs)
        for version in bad:
            yield _bad(site, under_load, version)


def _manager(name: str, host: Host) -> AbstractContextManager[Supervisord | Systemd]:
    return supervisord_on(host) if name == "supervisor" else systemd_on(host)


def _site(port: int) -> str:
    """The site of docs/how-to/fronts.md, on a port of loopback."""
    return (
        snippets("nginx")[1]
        .replace("listen 80", f"listen 127.0.0.1:{port}")
        .replace("http://shop_web", "http://slow_web")
    )


def _releases(site: Site, under_load: UnderLoad, quiet: Latency, runs: int) -> Row:
    old, new = GOOD
    done = []
    with under_load() as loaded:
        for _ in range(runs):
            for version, command in ((new, site.release), (old, site.rollback)):
                time.sleep(PAUSE)
                done.append((version, _good(command(version))))
        time.sleep(PAUSE)
    ends = [told.began for _, told in done[1:]] + [loaded.answers[-1].began]
    seconds = [
        _settled(loaded.answers, told.began, end, version)
        for (version, told), end in zip(done, ends, strict=True)
    ]
    return Row(
        sent=len(loaded.answers),
        failed=sum(not answer.good for answer in loaded.answers),
        unproven=sum(answer.good and not answer.proven for answer in loaded.answers),
        quiet=quiet,
        busy=Latency.of(loaded.answers),
        release=max(seconds[::2]),
        rollback=max(seconds[1::2]),
    )


def _settled(answers: Sequence[Answer], began: float, end: float, version: str) -> float:
    """How long it took until all requests had good answers of that version."""
    between = [answer for answer in answers if began < answer.began < end]
    others = [answer.began for answer in between if not (answer.good and answer.version == version)]
    if others and others[-1] == between[-1].began:
        raise BenchError(f"{PAUSE} s after its release, {version} does not answer all requests")
    return others[-1] - began if others else 0.0


def _bad(site: Site, under_load: UnderLoad, version: str) -> BadRow:
    with under_load() as loaded:
        time.sleep(PAUSE)
        site.crashed()
        told = site.release(version)
        crashed = site.crashed()
        if told.exit == 0:
            site.rollback(GOOD[0])
        time.sleep(PAUSE)
    return BadRow(
        version=version,
        sent=len(loaded.answers),
        failed=sum(not answer.good for answer in loaded.answers),
        unproven=sum(answer.version == version for answer in loaded.answers),
        exit=told.exit,
        seconds=told.seconds,
        told=told.failure_shown() - crashed if crashed else None,
    )


def _good(told: Told) -> Told:
    if told.exit:
        raise BenchError(f"exit {told.exit} for a version that works:\n{told.said}")
    return told

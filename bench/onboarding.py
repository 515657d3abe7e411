"""Public apps, brought by hand: are the steps that `fapbuild init` prints enough to run them on a host?

For each one: `init` in a clone, the printed steps, and `pack`; the artifact is installed without a network
by the system's Python, started by `.fap/run`, and asked for a page. One without a port has to go on running.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench.processes import BIN, LINES

LIST = Path(__file__).parent / "public_apps.toml"
STAGES = ("steps", "packed", "installed", "answered")
_SYSTEM = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8"}
_STARTS_WITHIN = 60.0  # in seconds
_RUNS = 10.0  # in seconds, by a process that serves no port
_STEPS = "then run:"


class App(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A public app: where it comes from, and what its documentation says that it needs to run.

    In `environment` and `before`, `{data}` is a new folder, `{postgres}` an empty database (a URL),
    `{postgres_port}` its port (user postgres, database app), `{redis_port}` and `{mqtt_port}` those of
    Redis and Mosquitto.
    """

    name: str
    url: str
    what: str
    commit: str
    """A tag or commit; the newest that runs on Debian 12's Python."""
    folder: str = "."
    """The folder of the app in its repository."""
    environment: dict[str, str] = {}
    before: tuple[str, ...] = ()
    """Commands in the release before its processes start, such as migrations."""
    path: str = "/"
    """What is asked for; empty for a process that serves no port, which has to run for some time instead."""
    process: str = "web"


@dataclass(frozen=True)
class Outcome:
    """How far an app came: `stages` that worked, and what the next one printed if it failed."""

    app: App
    stages: Mapping[str, str]
    """By stage of STAGES: what to print in its cell."""
    error: str = ""


class StageError(Exception):
    """A stage failed; its message is what was printed last."""


def listed(names: Sequence[str] = (), file: Path = LIST) -> list[App]:
    """The apps of a list, or those with these names."""
    apps = msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8"))["app"], list[App])
    return [app for app in apps if not names or app.name in names]


def measure(app: App, source: Path, work: Path) -> Outcome:
    """Bring the app of the repository `source` to a page, in the new folder `work`."""
    stages: dict[str, str] = {}
    work.mkdir(parents=True)
    try:
        project = _clone(app, source, work)
        said = _run([BIN / "fapbuild", "init"], project)
        steps = _steps(said)
        began = time.monotonic()
        for step in steps:
            if step != "fapbuild pack":
                _run(["sh", "-ec", step], project)
        stages["steps"] = str(len(steps))
        _run([BIN / "fapbuild", "pack", "--allow-unpushed", "-o", work / "artifacts"], project)
        stages["packed"] = f"{time.monotonic() - began:.0f} s"
        (artifact,) = (work / "artifacts").glob("*.tgz")
        release = work / "release"
        release.mkdir()
        _run(["tar", "-xzf", artifact, "-C", release], work)
        stages["installed"] = f"{_install(release):.0f} s"
        stages["answered"] = _answer(app, release, work)
    except StageError as error:
        return Outcome(app, stages, str(error))
    return Outcome(app, stages)


def _clone(app: App, source: Path, work: Path) -> Path:
    repository = work / app.name
    _run(["git", "clone", "--quiet", "--no-hardlinks", "--no-checkout", source, repository], work)
    _run(["git", "checkout", "--quiet", app.commit], repository)
    return repository / app.folder


def _steps(said: str) -> list[str]:
    """The indented lines under the one that ends in `then run:`."""
    lines = said.splitlines()
    start = next((number for number, line in enumerate(lines) if line.endswith(_STEPS)), len(lines))
    return [line.strip() for line in lines[start + 1 :] if line.startswith("  ")]


def _install(release: Path) -> float:
    began = time.monotonic()
    home = release.parent / "home"
    home.mkdir(exist_ok=True)
    alone = ["unshare", "--map-root-user", "--net", "sh", "install.sh"]
    _run(alone, release, {**_SYSTEM, "HOME": str(home)})
    return time.monotonic() - began


def _answer(app: App, release: Path, work: Path) -> str:
    manifest = json.loads((release / ".fap/manifest.json").read_text())
    if app.process not in manifest["processes"]:
        raise StageError(f"there is no process {app.process}, only {', '.join(manifest['processes'])}")
    with _services(app, work) as values:
        port = _free_port()
        given = {name: value.format_map(values) for name, value in app.environment.items()}
        environment = {**_SYSTEM, "HOME": str(work / "home"), "PORT": str(port), **given}
        for command in app.before:
            _run([".fap/run", "--", "sh", "-ec", command.format_map(values)], release, environment)
        log = work / "log"
        with log.open("wb") as out, _started([".fap/run", app.process], release, environment, out) as process:
            if not app.path:
                return _goes_on(process, log)
            return _status(f"http://127.0.0.1:{port}{app.path}", process, log)


def _goes_on(process: subprocess.Popen[bytes], log: Path) -> str:
    try:
        process.wait(_RUNS)
    except subprocess.TimeoutExpired:
        return "runs"
    raise StageError(f"ended with exit {process.returncode}\n{_tail(log)}")


class _NotToTls(urllib.request.HTTPRedirectHandler):
    """Takes a redirect to https for an answer: a web server in front has that."""

    def redirect_request(self, *arguments: Any, **more: Any) -> urllib.request.Request | None:
        request = super().redirect_request(*arguments, **more)
        return None if request and request.full_url.startswith("https:") else request


def _status(url: str, process: subprocess.Popen[bytes], log: Path) -> str:
    """The status of the first answer below 500."""
    opener = urllib.request.build_opener(_NotToTls)
    until, last = time.monotonic() + _STARTS_WITHIN, "no answer"
    while time.monotonic() < until:
        if process.poll() is not None:
            raise StageError(f"ended with exit {process.returncode}\n{_tail(log)}")
        try:
            with opener.open(url, timeout=20) as answer:
                return str(answer.status)
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return str(error.code)
            last = f"answered {error.code}"
        except OSError:
            pass
        time.sleep(0.3)
    raise StageError(f"{last}\n{_tail(log)}")


@contextmanager
def _services(app: App, work: Path) -> Iterator[dict[str, str]]:
    """What the app's settings name: a folder, and those of PostgreSQL, Redis and Mosquitto that they do."""
    settings = " ".join((*app.environment.values(), *app.before))
    data = work / "data"
    data.mkdir()
    values = {"data": str(data)}
    if "{redis_port}" in settings:
        values["redis_port"] = str(_free_port())
    if "{mqtt_port}" in settings:
        values["mqtt_port"] = str(_free_port())
    if "{postgres" in settings:
        port = values["postgres_port"] = str(_free_port())
        values["postgres"] = f"postgresql://postgres@127.0.0.1:{port}/app"
    with (
        _redis(values.get("redis_port"), work),
        _mosquitto(values.get("mqtt_port"), work),
        _postgres(values.get("postgres_port"), work),
    ):
        yield values


@contextmanager
def _mosquitto(port: str | None, work: Path) -> Iterator[None]:
    if port is None:
        yield
        return
    with (work / "mosquitto.log").open("wb") as out, _started(["mosquitto", "-p", port], work, _SYSTEM, out):
        _wait_for(int(port))
        yield


@contextmanager
def _redis(port: str | None, work: Path) -> Iterator[None]:
    if port is None:
        yield
        return
    argv = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", work]
    with (work / "redis.log").open("wb") as out, _started(argv, work, _SYSTEM, out):
        _wait_for(int(port))
        yield


@contextmanager
def _postgres(port: str | None, work: Path) -> Iterator[None]:
    if port is None:
        yield
        return
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    folder = work / "postgres"
    folder.mkdir(mode=0o700)
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres", "postgres")
        for above in (work, *work.parents):
            if above.stat().st_uid == 0 and above != Path("/"):
                above.chmod(above.stat().st_mode | 0o011)
    initdb = [programs / "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "-D", folder]
    _run([*user, *initdb], Path("/"), _SYSTEM)
    argv = [*user, programs / "postgres", "-D", folder, "-p", port, "-h", "127.0.0.1", "-k", ""]
    with (work / "postgres.log").open("wb") as out, _started(argv, Path("/"), _SYSTEM, out):
        _wait_for(int(port))
        for _ in range(50):
            create = [programs / "createdb", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "app"]
            if subprocess.run(create, capture_output=True, check=False).returncode == 0:
                break
            time.sleep(0.2)
        yield


@contextmanager
def _started(
    argv: Sequence[str | Path], folder: Path, environment: Mapping[str, str], out: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, which ends with the block."""
    process = subprocess.Popen(
        [str(part) for part in argv],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=out,  # type: ignore[arg-type]
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, sign)
                process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


def _run(argv: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> str:
    own = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"} if environment is None else environment
    done = subprocess.run(
        [str(part) for part in argv],
        cwd=folder,
        env=own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = "\n".join(done.stdout.splitlines()[-LINES:])
        raise StageError(f"exit {done.returncode}: {' '.join(map(str, argv))}\n{lines}")
    return done.stdout


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LINES:])


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise StageError(f"nothing listens at port {port}")


def versions() -> str:
    """The Python that installs and runs the apps."""
    python = subprocess.run(["/usr/bin/python3", "--version"], capture_output=True, text=True, check=True)
    return re.sub(r"\s+", " ", python.stdout).strip()

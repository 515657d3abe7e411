"""Workers that people use lose no job when a release takes their place."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.parts.fleet import wait_until
from tests.parts.fronts import free_port
from tests.parts.repository import IN_FULL, ROOT
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = [pytest.mark.supervisord, pytest.mark.index, pytest.mark.slow]

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
SERVER = (ROOT / "tests/parts/unix_server.py").read_bytes()
WORK = """
import os, time

def work(number):
    with open(os.environ["LOG"], "a") as log:
        log.write(f"begin {number}\\n")
    time.sleep(1)
    with open(os.environ["LOG"], "a") as log:
        log.write(f"end {number}\\n")
"""
JOBS = {
    "celery": "from celery import Celery\napp = Celery('jobs', broker=os.environ['REDIS'])\n"
    "begin = app.task(name='work')(work).delay\n",
    "rq": "from redis import Redis\nfrom rq import Queue\n"
    "queue = Queue(connection=Redis.from_url(os.environ['REDIS']))\n"
    "begin = lambda number: queue.enqueue('jobs.work', number)\n",
    "dramatiq": "import dramatiq\nfrom dramatiq.brokers.redis import RedisBroker\n"
    "dramatiq.set_broker(RedisBroker(url=os.environ['REDIS']))\n"
    "begin = dramatiq.actor(work).send\n",
    "huey": "from huey import RedisHuey\nhuey = RedisHuey('jobs', url=os.environ['REDIS'])\n"
    "begin = huey.task()(work)\n",
}
WORKERS = {
    "celery": "celery -A jobs worker --concurrency 2 --loglevel WARNING",
    "rq": "rq worker --url $REDIS",
    "dramatiq": "dramatiq jobs --processes 1 --threads 2",
    "huey": "huey_consumer jobs.huey -w 2",
}
STOP = {"huey": "{signal: INT, seconds: 30}"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the workers' programs."""
    venv = tmp_path_factory.mktemp("workers") / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    packages = ["celery", "rq", "dramatiq[redis]", "huey", "redis", "packaging"]
    subprocess.run([venv / "bin/pip", "install", "-q", *packages], check=True, capture_output=True)
    return venv / "bin"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[str]:
    """The URL of a Redis server."""
    server = shutil.which("redis-server")
    assert server, "apt-get install redis-server"
    port = free_port()
    argv = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        yield f"redis://127.0.0.1:{port}/0"
        process.terminate()


@pytest.mark.parametrize("kind", JOBS if IN_FULL else ["celery", "huey"])
def test_no_job_is_lost(
    kind: str,
    programs: Path,
    redis: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site(tmp_path_factory.mktemp("s"))
    log = site.folder / "jobs.log"
    count = 20 if kind == "rq" else 40  # it does one at a time
    jobs = (WORK + JOBS[kind]).encode()
    variables = {"LOG": str(log), "REDIS": redis}

    def build(version: str) -> str:
        web = f"exec {sys.executable} unix_server.py $PORT {version}"
        own = " ".join(f"{name}={value}" for name, value in variables.items())
        procfile = f"web: {web}\nworker: exec env {own} {programs}/{WORKERS[kind].replace('$REDIS', redis)}\n"
        files = {"Procfile": procfile.encode(), ".fap/run": RUN, "unix_server.py": SERVER, "jobs.py": jobs}
        return artifact(site.folder / "built", version, files)

    def words() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    def run(supervisord: Supervisord) -> None:
        site.configure(
            "plugins: [supervisorctl, healthcheck]\nhandover: beside\nprocesses: {web: 1, worker: 1}\n"
            f"processes_stop: {{worker: {STOP.get(kind, '{seconds: 30}')}}}\nprocess_seconds: 1\n"
            f"supervisor_target: {supervisord.conf_d}/shop.conf\nhealthcheck_url: http://localhost/"
        )
        site.release(build("1.0"))
        (site.folder / "jobs.py").write_bytes(jobs)
        send = f"import jobs\nfor number in range({count}): jobs.begin(number)\n"
        environment = {**os.environ, **variables, "PYTHONPATH": str(site.folder)}
        subprocess.run([programs / "python", "-c", send], env=environment, check=True)
        wait_until(lambda: len(words()) > 3, "the worker works", 20)
        site.release(build("2.0"))
        before = len(words())
        done = sorted(f"{word} {number}" for number in range(count) for word in ("begin", "end"))
        wait_until(lambda: len(words()) >= len(done), "all jobs are done", 90)
        assert before < len(done)  # the release came while they were done
        assert sorted(words()) == done

    with supervisord_in(tmp_path_factory.mktemp("d")) as supervisord:
        monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
        run(supervisord)

"""Logs of three real hosts with a supervisord each: which lines, from which host, and side by side."""

import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.parts.fleet import Host, wait_until
from tests.parts.fleet_site import FleetSite, builds, hosts, site
from tests.parts.repository import ROOT
from tests.parts.supervisord import supervisord_on

__all__ = ["builds", "hosts", "site"]
pytestmark = [pytest.mark.fleet, pytest.mark.supervisord, pytest.mark.timeout(120)]

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
APP = """\
import os, sys, time
def log(text):
    at = time.gmtime(time.time() - 3600 * ("old" in text))
    print(time.strftime("%Y-%m-%dT%H:%M:%SZ ", at) + text, flush=True)
log("INFO old"); log("ERROR broken"); log("INFO new"); log("ERROR red")
while True:
    time.sleep(0.2)
    if os.path.exists("/home/deploy/say"):
        log("ERROR said " + open("/home/deploy/say").read()); os.unlink("/home/deploy/say")
"""
SERVER = (ROOT / "tests/parts/unix_server.py").read_text()
CONF = """\
[program:shop]
command=python3 app.py
directory=/home/deploy/www/shop/current
startsecs=0
"""
FILES = {
    "Procfile": b"web: exec python3 unix_server.py $PORT 1\nworker: exec python3 app.py\n",
    ".fap/run": RUN,
    "app.py": APP.encode(),
    "unix_server.py": SERVER.encode(),
    "configs/supervisor_production_web.conf": CONF.encode(),
}
PLACE = "supervisor_target: /home/deploy/supervisor/conf.d/shop.conf\n"
MORE = f"plugins: [supervisorctl]\nprocess_seconds: 0\n{PLACE}"


@pytest.fixture(autouse=True)
def managers(hosts: list[Host]) -> Iterator[None]:
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(supervisord_on(host))
        yield
    for host in hosts:
        host.run(["rm", "-rf", "supervisor", "bin"], check=True)


def test_lines_of_all_hosts_side_by_side(site: FleetSite) -> None:
    site.configure(MORE)
    done = site.release(site.add("1", **FILES))
    assert done.returncode == 0, done.stderr
    words = ("logs", "production", "web")
    wait_until(lambda: site.run(*words, "--everywhere").stdout.count("ERROR red") == 3, "all apps run", 20)
    one = site.run(*words)
    assert one.returncode == 0, one.stderr
    assert [line[21:] for line in one.stdout.splitlines() if line[:2] == "20"] == [
        "INFO old",
        "ERROR broken",
        "INFO new",
        "ERROR red",
    ]
    assert "these are the logs of web1; of all 3 hosts: --everywhere" in one.stderr
    assert "--everywhere" not in site.run(*words, "--on", "web2").stderr
    assert one.stdout.count("ERROR red") == 1

    every = site.run(*words, "--everywhere", "--grep", "ERROR", "--since", "10m", "-n", "2")
    assert every.returncode == 0, every.stderr
    assert every.stderr == ""
    for host in ("web1", "web2", "web3"):
        lines = [line for line in every.stdout.splitlines() if line.startswith(f"{host} | ")]
        assert f"{host} | ==> shop, stdout" in lines
        assert re.sub(r"\S+Z ", "", "\n".join(line[7:] for line in lines if "ERROR" in line)) == (
            "ERROR broken\nERROR red"
        )
    assert "old" not in every.stdout
    assert site.run(*words, "--since", "yesterday").returncode == 2
    wrong = site.run("logs", "-f", "production", "web")
    assert wrong.returncode == 2
    assert "--follow has no letter" in wrong.stderr
    assert site.run(*words, "--on", "web1", "--everywhere").returncode == 2


@pytest.mark.parametrize("beside", [False, True])
def test_all_hosts_are_followed_at_once(site: FleetSite, beside: bool) -> None:
    site.configure(MORE + ("processes: {web: 1, worker: 1}\nhandover: beside\n" if beside else ""))
    done = site.release(site.add("2" if beside else "1", **FILES))
    assert done.returncode == 0, done.stderr
    every = ("logs", "production", "web", "--everywhere", "-n", "2")
    for host in site.hosts:  # as after an upgrade of fapkit: the hosts have no program of it
        host.run(["rm", "-rf", "www/shop/.fap/code"], check=True)
    wait_until(lambda: site.run(*every).stdout.count("ERROR red") == 3, "all apps run", 20)
    following = site.start(
        "logs", "production", "web", "--everywhere", "--follow", "--grep", "ERROR", "-n", "2"
    )
    assert following.stdout is not None
    try:
        heard = ""
        while heard.count("ERROR red") < 3:
            heard += following.stdout.readline() or pytest.fail(f"it ended after {heard}")
        assert heard.count("ERROR broken") == 3, heard
        time.sleep(1.5)  # until supervisord's own repetition is over
        for host in reversed(site.hosts):
            host.path("/home/deploy/say").write_text(host.name)
        heard = ""
        while any(f"said {host.name}" not in heard for host in site.hosts):
            heard += following.stdout.readline() or pytest.fail(f"it ended after {heard}")
        for host in site.hosts:
            assert len(re.findall(rf"^{host.name} \| \S+Z ERROR said {host.name}$", heard, re.MULTILINE)) == 1
        assert "ERROR broken" not in heard
        following.send_signal(signal.SIGINT)
        assert following.wait(20) == 130
    finally:
        following.kill()
        following.communicate()

    def follows(host: Host) -> bool:
        return host.run(["pgrep", "-f", "tail -f"]).returncode == 0

    wait_until(lambda: not any(map(follows, site.hosts)), "nothing on the hosts follows any more", 10)

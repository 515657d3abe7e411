"""A release that starts beside the one before, on a real `systemd --user` of a host."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from hashlib import sha256

import pytest

from tests.parts.fleet import Host, wait_until
from tests.parts.fleet_site import FleetSite, builds, site
from tests.parts.repository import IN_FULL, ROOT
from tests.parts.systemd import Systemd
from tests.parts.systemd_site import HOME, configure, hosts, systemd

__all__ = ["builds", "hosts", "site", "systemd"]

pytestmark = [pytest.mark.systemd, pytest.mark.slow]

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
SERVER = (ROOT / "tests/parts/unix_server.py").read_bytes()
UNITS = f"{HOME}/.config/systemd/user"
FRONT = f"{HOME}/www/shop/run/web.sock"
CALLS = range(1, 9) if IN_FULL else (1, 4, 7)
BESIDE = {
    "handover": "beside",
    "processes": {"web": 1},
    "plugins": ["systemd", "healthcheck"],
    "healthcheck_url": "http://localhost/",
    "healthcheck_seconds": 10,
}


@pytest.fixture(autouse=True)
def clean(systemd: Systemd, hosts: list[Host]) -> Iterator[None]:
    yield
    systemd.ctl("stop", "shop-*", "shop.target")
    hosts[0].run(["sh", "-c", f"rm -rf {UNITS}"], check=True)
    systemd.ctl("daemon-reload")
    systemd.ctl("reset-failed")


def build(site: FleetSite, version: str, server: str = "", procfile: str = "") -> str:
    procfile = procfile or f"web: exec python3 unix_server.py $PORT {version} {server}\n"
    return site.add(version, **{"Procfile": procfile.encode(), ".fap/run": RUN, "unix_server.py": SERVER})


def release(site: FleetSite, url: str, code: int = 0) -> str:
    """Release it; returns what was said."""
    done = site.release(url)
    assert done.returncode == code, done.stderr
    return done.stderr


def ask(site: FleetSite, front: str = FRONT) -> str:
    done = site.hosts[0].run(["curl", "-sS", "-m", "5", "--unix-socket", front, "http://localhost/"])
    return done.stdout or done.stderr


def running(systemd: Systemd) -> list[str]:
    listed = systemd.ctl("list-units", "--plain", "--no-legend", "--state=active", "shop*.service").stdout
    return sorted(line.split()[0].removesuffix(".service") for line in listed.splitlines())


def current(site: FleetSite) -> str:
    return site.hosts[0].run(["readlink", f"{HOME}/www/shop/current"]).stdout.strip().rpartition("/")[2]


def test_a_release_starts_beside_the_one_before_which_stays_warm(site: FleetSite, systemd: Systemd) -> None:
    configure(site, **BESIDE)
    release(site, build(site, "1.0"))
    first = current(site)
    assert ask(site) == "1.0"
    assert running(systemd) == [f"shop-web-1@{first}-1"]
    release(site, build(site, "2.0"))
    second = current(site)
    assert ask(site) == "2.0"
    assert running(systemd) == [f"shop-web-1@{first}-1", f"shop-web-1@{second}-1"]
    enabled = systemd.ctl("list-unit-files", "--plain", "--no-legend", "--state=enabled", "shop*").stdout
    assert systemd.ctl("is-enabled", f"shop-web-1@{second}-1").stdout.strip() == "enabled", enabled
    assert systemd.ctl("is-enabled", f"shop-web-1@{first}-1").stdout.strip() != "enabled", enabled
    host = site.hosts[0]
    host.run(["chmod", "711", HOME], check=True)
    said = site.run("doctor", "production").stdout
    assert ("another release" in said, "chmod o+x" in said) == (False, False), said
    host.run(["chmod", "700", HOME], check=True)
    assert f"chmod o+x {HOME}" in site.run("doctor", "production").stdout
    planned = site.run("plan", "--curl-url", build(site, "3.0"), "production").stdout
    assert f"handover  starts beside {second}-1, which stays ready for a rollback for 300 s; both" in planned
    assert f"handover  ends what a rollback or an interrupted run has left: {first}-1\n" in planned
    (row,) = map(json.loads, site.run("status", "--json", "production").stdout.splitlines())
    assert [(each["name"], each["restarts"]) for each in row["processes"]] == [
        (f"shop-web-1@{second}-1.service", 0)
    ]
    done = site.run("rollback", "--yes", "production")
    assert done.returncode == 0, done.stderr
    assert ask(site) == "1.0"
    assert running(systemd) == [f"shop-web-1@{first}-1", f"shop-web-1@{second}-1"]


def test_what_is_kept_for_a_rollback_ends_in_time(site: FleetSite, systemd: Systemd) -> None:
    configure(site, **BESIDE, handover_keep=3)
    release(site, build(site, "1.0"))
    release(site, build(site, "2.0"))
    second = current(site)
    assert len(running(systemd)) == 2
    wait_until(lambda: running(systemd) == [f"shop-web-1@{second}-1"], "the old one has ended", 20)
    assert ask(site) == "2.0"


@pytest.mark.parametrize("server", ["500", "die 2"])
def test_a_version_that_fails_never_answers(site: FleetSite, systemd: Systemd, server: str) -> None:
    configure(site, **{**BESIDE, "healthcheck_seconds": 4})
    release(site, build(site, "1.0"))
    first = current(site)
    said = release(site, build(site, "2.0", server), code=4)
    assert "rolled back" in said
    assert (ask(site), current(site)) == ("1.0", first)
    wait_until(lambda: running(systemd) == [f"shop-web-1@{first}-1"], "the failed one has ended", 10)


def test_a_restart_and_a_new_configuration_are_handovers(site: FleetSite, systemd: Systemd) -> None:
    configure(site, **BESIDE, handover_keep=0)
    url = build(site, "1.0")
    release(site, url)
    first = current(site)
    done = site.run("restart", "--yes", "production")
    assert done.returncode == 0, done.stderr
    wait_until(lambda: running(systemd) == [f"shop-web-1@{first}-2"], "the old one has ended", 10)
    configure(site, **BESIDE, handover_keep=0, environment={"COLOUR": "red"})
    release(site, url)
    second = current(site)
    assert second != first
    wait_until(lambda: running(systemd) == [f"shop-web-1@{second}-1"], "the old one has ended", 10)
    digest = sha256(site.builds.bodies["/1.0.tgz"][0]).hexdigest()
    assert "nothing to do" in site.release(url, "--curl-sha256", digest).stderr


def test_the_first_handover_of_a_live_site_keeps_its_port(site: FleetSite, systemd: Systemd) -> None:
    procfile = "web: exec python3 unix_server.py $PORT VERSION\nworker: exec sleep 1000\n"
    processes = {"web": 1, "worker": 1}
    restart = {"processes": processes, "process_port": 18321}
    configure(site, **restart)
    release(site, build(site, "0.0", procfile=procfile.replace("VERSION", "0.0")))
    before = ["shop-web@18321", "shop-worker@18421"]
    assert running(systemd) == before
    beside = {**BESIDE, **restart, "plugins": ["systemd", "healthcheck"], "handover_keep": 0}
    configure(site, **beside)
    release(site, build(site, "1.0", procfile=procfile.replace("VERSION", "1.0 500")), code=4)
    wait_until(lambda: running(systemd) == before, "the failed one has ended", 10)
    said = release(site, build(site, "1.1", procfile=procfile.replace("VERSION", "1.1")))
    assert "next release or restart ends them" in said
    first = current(site)
    assert running(systemd) == [f"shop-web-1@{first}-1", "shop-web@18321", f"shop-worker-1@{first}-1"]
    configure(site, **beside, handover_listen="127.0.0.1:18321")
    release(site, build(site, "1.2", procfile=procfile.replace("VERSION", "1.2")))
    asked = site.hosts[0].run(["curl", "-sS", "-m", "5", "http://127.0.0.1:18321/"])
    assert (asked.stdout, asked.stderr) == ("1.2", "")
    second = current(site)
    here = ["shop-front-1", f"shop-web-1@{second}-1", f"shop-worker-1@{second}-1"]
    wait_until(lambda: running(systemd) == here, "the old ones have ended", 10)
    configure(site, **restart)
    release(site, build(site, "1.9", procfile=procfile.replace("VERSION", "1.9 die 0")), code=4)
    asked = site.hosts[0].run(["curl", "-sS", "-m", "5", "http://127.0.0.1:18321/"])
    assert (asked.stdout, asked.stderr) == ("1.2", "")
    wait_until(lambda: len(running(systemd)) == 3, "the new one has ended", 10)
    release(site, build(site, "2.0", procfile=procfile.replace("VERSION", "2.0")))
    wait_until(lambda: running(systemd) == before, "what ran beside has ended", 10)


@pytest.mark.parametrize(("how", "calls_of"), [("fails", CALLS), ("is killed", CALLS)])
def test_wherever_it_stops_the_old_or_the_new_one_answers(
    site: FleetSite, systemd: Systemd, how: str, calls_of: Sequence[int]
) -> None:
    """Each command that changes something in turn, and all of what would undo it then."""
    host = site.hosts[0]
    procfile = "web: exec python3 unix_server.py $PORT VERSION\nworker: exec sleep 1000\n"
    stop = "kill -KILL 0" if how == "is killed" else "echo Failed to do that >&2; exit 1"
    configure(site, **{**BESIDE, "processes": {"web": 1, "worker": 1}, "handover_keep": 0})
    release(site, build(site, "0", procfile=procfile.replace("VERSION", "0")))
    load = (
        f"rm -f stop answers; while [ ! -e stop ]; do"
        f" curl -s -m 5 --unix-socket {FRONT} http://localhost/ >>answers || echo FAILED >>answers;"
        " echo >>answers; sleep 0.05; done"
    )
    with subprocess.Popen(host.command(["sh", "-c", load], host.user), stdin=subprocess.DEVNULL) as asking:
        for number in calls_of:
            shim = f"""#!/bin/sh
case $* in *daemon-reload* | *enable* | *disable* | *stop* | *start*)
  echo >>~/systemctl.calls
  [ "$(wc -l <~/systemctl.calls)" -lt {number} ] || {{ {stop}; }} ;;
esac
exec /usr/bin/systemctl "$@"
"""
            script = "rm -f systemctl.calls; cat >bin/systemctl; chmod +x bin/systemctl"
            host.run(["sh", "-c", f"mkdir -p bin; {script}"], stdin=shim, check=True)
            version = f"{number}{how[0]}"
            url = build(site, version, procfile=procfile.replace("VERSION", version))
            first = site.release(url)
            calls = len(host.run(["cat", "systemctl.calls"]).stdout.splitlines())
            assert (first.returncode == 0) == (calls < number), first.stderr
            host.run(["rm", "bin/systemctl"], check=True)
            release(site, url)
            live = host.run(["readlink", FRONT]).stdout.partition("/")[0]
            assert ask(site) == version
            here = [f"shop-web-1@{live}", f"shop-worker-1@{live}"]
            wait_until(lambda: running(systemd) == here, "only the new one runs", 20)  # noqa: B023
        host.run(["touch", "stop"])
        asking.wait()
    answers = host.run(["cat", "answers"]).stdout.split()
    assert "FAILED" not in answers, answers
    assert len(answers) > 50


def test_the_systems_units_are_asked_for_by_sudo(site: FleetSite, systemd: Systemd) -> None:
    configure(site, **{**BESIDE, "systemd_user": False, "handover_listen": "127.0.0.1:18322"})
    said = release(site, build(site, "1"), 1)
    (line,) = (line for line in said.splitlines() if "NOPASSWD" in line)
    digits = "-".join("[0-9]" * count for count in (6, 6, 1))
    for command in ("tee", "rm -f"):
        for name in ("shop-web-1@.service", "shop-end@.timer", "shop-front-1.socket"):
            assert f"{command} /etc/systemd/system/{name}," in line
    for verb in ("start", "stop", "stop --no-block", "enable -q --no-reload", "disable -q --no-reload"):
        assert f"systemctl {verb} shop-web-1@{digits}.service," in line
    assert f"systemctl start shop-end@{digits}.timer," in line
    assert f"systemctl start shop-web-1@{digits}[0-9].service," in line  # the tenth restart of a release
    # There is no system manager here: a sudo of our own allows what the line allows, and asks the user's one.
    sudo = f"""#!/bin/sh
export PATH=/usr/bin:/bin XDG_RUNTIME_DIR={systemd.runtime}
shift
[ "$1" != -l ] || exit 0
words="$(command -v "$1") $(shift; echo "$*")"
while read -r rule; do
  case $words in $rule) allowed=yes ;; esac
done <~/sudo.rules
[ -n "$allowed" ] || {{ echo "sudo: not allowed: $*" >&2; exit 1; }}
case $1 in
  tee) sed '/^User=/d; s/systemctl /systemctl --user /' | tee {UNITS}/"${{2##*/}}" >"$2" ;;
  rm) rm -f {UNITS}/"${{3##*/}}" "$3" ;;
  systemctl) shift; exec systemctl --user "$@" ;;
esac
"""
    systemctl = f'#!/bin/sh\nXDG_RUNTIME_DIR={systemd.runtime} exec /usr/bin/systemctl --user "$@"\n'
    rules = line.partition("NOPASSWD: ")[2].replace(", ", "\n") + "\n"
    host = site.hosts[0]
    host.run(["mkdir", "-p", "bin", UNITS], check=True)
    for name, text in {"bin/sudo": sudo, "bin/systemctl": systemctl, "sudo.rules": rules}.items():
        host.run(["sh", "-c", f"cat >{name}; chmod +x {name}"], stdin=text, check=True)
    folder = "/etc/systemd/system"
    host.run(["mount", "-t", "tmpfs", "-o", "mode=777", "tmpfs", folder], user="root", check=True)
    try:
        for version in ("1", "2"):
            release(site, build(site, version))
            assert ask(site) == version
        assert site.run("rollback", "--yes", "production").returncode == 0
        assert ask(site) == "1"
    finally:
        host.run(["umount", folder], user="root", check=True)
        host.run(["rm", "bin/sudo", "bin/systemctl", "sudo.rules"], check=True)


def test_a_full_disk_changes_nothing(site: FleetSite, systemd: Systemd) -> None:
    host, run = site.hosts[0], f"{HOME}/www/shop/run"
    host.run(["mkdir", "-p", run], check=True)
    small = ["mount", "-t", "tmpfs", "-o", "mode=777,nr_inodes=15,uid=1001", "tmpfs", run]
    host.run(small, user="root", check=True)
    try:
        configure(site, **BESIDE)
        release(site, build(site, "1.0"))
        first = current(site)
        assert "No space left on device" in release(site, build(site, "2.0"), 4)
        assert (ask(site), current(site)) == ("1.0", first)
        host.run(["mount", "-o", "remount,nr_inodes=1000", run], user="root", check=True)
        release(site, build(site, "3.0"))
        assert ask(site) == "3.0"
    finally:
        systemd.ctl("stop", "shop-*")
        host.run(["umount", "-l", run], user="root", check=True)


def test_another_stage_can_not_take_the_units(site: FleetSite, systemd: Systemd) -> None:
    configure(site, **BESIDE)
    release(site, build(site, "1.0"))
    configure(site, **BESIDE, path=f"{HOME}/www/staging")
    said = release(site, build(site, "2.0"), code=1)
    assert "shop-web-1@.service is there already, for another app or stage" in said
    assert ask(site) == "1.0"

"""The systemd plugin against a real `systemd --user`, on a host reached by ssh."""

import re
import shlex
import time
from collections.abc import Iterator

import pytest

from tests.parts.fleet import Host
from tests.parts.fleet_site import FleetSite, builds, site
from tests.parts.systemd import Systemd
from tests.parts.systemd_site import HOME, configure, hosts, systemd, unit

__all__ = ["builds", "hosts", "site", "systemd"]

pytestmark = pytest.mark.systemd

UNIT = f"{HOME}/.config/systemd/user/shop.service"
RUNS = b"exec sleep 1000\n"
DIES = b"sleep 0.2; echo no settings >&2; exit 3\n"
AWKWARD = 'it\'s "q" $HOME $(id) \\ % # \u00e9\nsecond line'


@pytest.fixture(autouse=True)
def clean(systemd: Systemd, hosts: list[Host]) -> Iterator[None]:
    yield
    systemd.ctl("disable", "--now", "shop.service")
    hosts[0].run(["rm", "-rf", UNIT, "bin/sudo", "sudo.log"], check=True)
    systemd.ctl("daemon-reload")
    systemd.ctl("reset-failed")


def build(site: FleetSite, version: str, run: bytes = RUNS, conf: str = "") -> str:
    files = {"run.sh": run, "configs/systemd_production_web.service": (conf or unit(version)).encode()}
    return site.add(version, **files)


def runs(site: FleetSite, systemd: Systemd) -> tuple[str, str]:
    """The unit's description, and whether it runs from `current`."""
    description = systemd.ctl("show", "--value", "-p", "Description", "shop.service").stdout.strip()
    current = site.hosts[0].run(["readlink", "-f", "www/shop/current"]).stdout.strip()
    cwd = systemd.main_cwd("shop.service")
    return description, "current" if cwd and cwd == current else cwd


def test_the_unit_follows_releases_and_rollbacks(site: FleetSite, systemd: Systemd) -> None:
    configure(site, environment={"AWKWARD": AWKWARD})
    for version in ("1", "2"):
        done = site.release(build(site, version))
        assert done.returncode == 0, done.stderr
        assert runs(site, systemd) == (f"shop {version}", "current")
    assert systemd.ctl("is-enabled", "shop.service").stdout == "enabled\n"
    pid = systemd.ctl("show", "--value", "-p", "MainPID", "shop.service").stdout.strip()
    environment = systemd.host.run(["cat", f"/proc/{pid}/environ"]).stdout.split("\0")
    assert f"AWKWARD={AWKWARD}" in environment
    done = site.run("rollback", "production")
    assert done.returncode == 0, done.stderr
    assert runs(site, systemd) == ("shop 1", "current")


@pytest.mark.parametrize("restart", ["no", "always"])
def test_a_unit_that_dies_goes_back_to_the_old_one(site: FleetSite, systemd: Systemd, restart: str) -> None:
    configure(site, systemd_seconds=3)
    assert site.release(build(site, "1")).returncode == 0
    more = f"Restart={restart}\nRestartSec=100ms\nStartLimitIntervalSec=0"
    done = site.release(build(site, "2", DIES, unit("2", more)))
    assert done.returncode == 4, done.stderr
    assert "check that shop.service runs from the release" in done.stderr
    assert "status=3" in done.stderr
    assert runs(site, systemd) == ("shop 1", "current")
    assert site.versions() == ["1"]


def test_a_first_release_that_dies_leaves_no_unit(site: FleetSite, systemd: Systemd) -> None:
    configure(site)
    done = site.release(build(site, "1", DIES))
    assert done.returncode == 4, done.stderr
    assert systemd.host.run(["test", "-e", UNIT]).returncode == 1
    assert systemd.ctl("is-active", "shop.service").stdout in ("inactive\n", "failed\n")
    assert site.versions() == [""]


def test_what_was_there_before_comes_back(site: FleetSite, systemd: Systemd) -> None:
    """The unit, and the release, of another tool."""
    by_hand = unit("by hand", "Environment=BY=hand")
    script = (
        "mkdir -p www/shop/releases/blue ${1%/*}; echo 'exec sleep 1000' >www/shop/releases/blue/run.sh\n"
        "ln -s releases/blue www/shop/current; cat >$1"
    )
    systemd.host.run(["sh", "-c", script, "sh", UNIT], stdin=by_hand, check=True)
    systemd.ctl("daemon-reload")
    systemd.ctl("start", "shop.service")
    assert runs(site, systemd) == ("shop by hand", "current")
    configure(site)
    done = site.release(build(site, "1", DIES))
    assert done.returncode == 4, done.stderr
    assert runs(site, systemd) == ("shop by hand", "current")
    assert systemd.host.run(["cat", UNIT]).stdout == by_hand


def test_a_unit_that_is_not_ours_is_only_restarted(site: FleetSite, systemd: Systemd) -> None:
    by_hand = unit("by hand")
    script = 'mkdir -p "${1%/*}" && cat >"$1"'
    systemd.host.run(["sh", "-c", script, "sh", UNIT], stdin=by_hand, check=True)
    systemd.ctl("daemon-reload")
    configure(site, systemd_conf="")
    for version in ("1", "2"):
        done = site.release(site.add(version, run_sh=RUNS))
        assert done.returncode == 0, done.stderr
        assert runs(site, systemd) == ("shop by hand", "current")
    configure(site, systemd_conf="", systemd_user=False)
    refused = site.release(site.add("3", run_sh=RUNS))
    (line,) = (line for line in refused.stderr.splitlines() if "NOPASSWD" in line)
    assert re.fullmatch(r" +deploy ALL=\(root\) NOPASSWD: \S+/systemctl restart shop.service", line)


def test_a_reload_keeps_the_main_process(site: FleetSite, systemd: Systemd) -> None:
    configure(site, systemd_reload=True)
    serves = (
        b"trap 'kill $child' HUP\nwhile :; do\n(cd -P /home/deploy/www/shop/current && exec sleep 1000) &\n"
        b"child=$!; wait; done\n"
    )
    reload = "ExecReload=/bin/kill -HUP $MAINPID"
    same = unit("1", reload)
    assert site.release(build(site, "1", serves, same)).returncode == 0
    before = systemd.ctl("show", "--value", "-p", "MainPID", "shop.service").stdout
    done = site.release(build(site, "2", serves, same))
    assert done.returncode == 0, done.stderr
    assert systemd.ctl("show", "--value", "-p", "MainPID", "shop.service").stdout == before
    deaf = serves.replace(b"'kill $child'", b"''")
    assert site.release(build(site, "3", deaf, same)).returncode == 0
    systemd.ctl("restart", "shop.service")
    configure(site, systemd_reload=True, systemd_seconds=2)
    done = site.release(build(site, "4", deaf, same))
    assert done.returncode == 4, done.stderr
    assert "not in /home/deploy/www/shop/releases/" in done.stderr


def test_the_systems_units_are_asked_for_by_sudo(site: FleetSite, systemd: Systemd) -> None:
    configure(site, systemd_user=False)
    refused = site.release(build(site, "1"))
    assert refused.returncode == 1, refused.stderr
    assert "deploy ALL=(root) NOPASSWD: " in refused.stderr
    assert "/systemctl restart shop.service, " in refused.stderr
    # There is no system manager here: a sudo of our own notes the words, and asks the user's manager instead.
    sudo = f"""#!/bin/sh
echo "$*" >>~/sudo.log
shift
case $1 in
  -l) exit 0 ;;
  tee) exec tee {shlex.quote(UNIT)} ;;
  systemctl) shift; export XDG_RUNTIME_DIR={systemd.runtime}; exec systemctl --user "$@" ;;
esac
exit 9
"""
    make = 'mkdir -p bin "${1%/*}"; cat >bin/sudo; chmod +x bin/sudo'
    systemd.host.run(["sh", "-c", make, "sh", UNIT], stdin=sudo, check=True)
    configure(site, systemd_user=False, systemd_check_status=False)
    done = site.release(build(site, "1"))
    assert done.returncode == 0, done.stderr
    assert runs(site, systemd) == ("shop 1", "current")
    asked = systemd.host.run(["grep", "-v", "^-n -l", "sudo.log"]).stdout.splitlines()
    assert asked == [
        "-n tee /etc/systemd/system/shop.service",
        "-n systemctl daemon-reload",
        "-n systemctl enable shop.service",
        "-n systemctl restart shop.service",
    ]


def test_a_user_without_a_manager_is_told_what_to_do(site: FleetSite, systemd: Systemd) -> None:
    configure(site)
    systemd.host.run(["mv", systemd.runtime, f"{systemd.runtime}.away"], user="root", check=True)
    try:
        done = site.release(build(site, "1"))
    finally:
        systemd.host.run(["mv", f"{systemd.runtime}.away", systemd.runtime], user="root", check=True)
    assert done.returncode == 1, done.stderr
    assert "sudo loginctl enable-linger deploy" in done.stderr
    assert site.versions() == [""]


def test_an_artifact_that_brings_another_unit_is_not_published(site: FleetSite, systemd: Systemd) -> None:
    configure(site)
    assert site.release(build(site, "1")).returncode == 0
    files = {"run.sh": RUNS, "configs/systemd_production_web.service": unit("2").encode()}
    done = site.release(site.add("2", **files, **{".fap/systemd/ssh.service": unit("evil").encode()}))
    assert done.returncode == 1, done.stderr
    assert "has the unit ssh.service, which does not belong to this app" in done.stderr
    assert runs(site, systemd) == ("shop 1", "current")
    assert site.versions() == ["1"]


def test_what_dies_while_it_imports_never_counts_as_live(site: FleetSite, systemd: Systemd) -> None:
    """Case crash-after-2s-is-done: for systemd it is active at once."""
    configure(site, process_seconds=4)
    assert site.release(build(site, "1")).returncode == 0
    more = "Restart=on-failure\nRestartSec=1"
    done = site.release(build(site, "2", b"sleep 2; echo no settings >&2; exit 3\n", unit("2", more)))
    assert done.returncode == 4, done.stderr
    assert re.search(r"shop.service \(process \d+\) ended within \d s of its start", done.stderr)
    assert "status=3" in done.stderr
    assert runs(site, systemd) == ("shop 1", "current")


def test_changed_units_and_packages_are_not_reloaded(site: FleetSite, systemd: Systemd) -> None:
    configure(site, systemd_reload=True)
    serves = b"trap : HUP\nwhile :; do sleep 1; done\n"
    reload = "ExecReload=/bin/kill -HUP $MAINPID"
    assert site.release(build(site, "1", serves, unit("1", reload))).returncode == 0
    before = systemd.ctl("show", "--value", "-p", "MainPID", "shop.service").stdout
    done = site.release(build(site, "2", serves, unit("2", f"{reload}\nEnvironment=ADDED=yes")))
    assert done.returncode == 0, done.stderr
    assert "warning: shop.service is restarted, not reloaded: its unit file changed" in done.stderr
    pid = systemd.ctl("show", "--value", "-p", "MainPID", "shop.service").stdout
    assert pid != before
    variables = systemd.host.run(["cat", f"/proc/{pid.strip()}/environ"]).stdout.split("\0")
    assert "ADDED=yes" in variables
    assert runs(site, systemd) == ("shop 2", "current")
    same = unit("2", f"{reload}\nEnvironment=ADDED=yes").encode()
    conf = {"configs/systemd_production_web.service": same, "requirements.lock": b"dep==2\n"}
    done = site.release(site.add("3", **{"run.sh": serves, **conf}))
    assert done.returncode == 0, done.stderr
    assert "restarted, not reloaded: the packages changed (requirements.lock)" in done.stderr
    assert runs(site, systemd) == ("shop 2", "current")


ACTIVATED = b"""\
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(open("app.py", "rb").read())
server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)  # sd_listen_fds(3)
server.serve_forever()
"""


def test_a_health_check_accepts_a_socket_of_systemd(site: FleetSite, systemd: Systemd) -> None:
    """Case socket-activation-refused: systemd holds the socket, and the service answers."""
    host = site.hosts[0]
    address = f"{host.address}:18004"
    folder = UNIT.rpartition("/")[0]
    text = f"[Socket]\nListenStream={address}\n[Install]\nWantedBy=sockets.target\n"
    needs = unit("1").replace("[Unit]\n", "[Unit]\nRequires=shop.socket\nAfter=shop.socket\n")
    script = 'mkdir -p "${1%/*}" && cat >"$1"'
    for name, content in ("shop.socket", text), ("shop.service", needs):
        host.run(["sh", "-c", script, "sh", f"{folder}/{name}"], stdin=content, check=True)
    systemd.ctl("daemon-reload")
    assert systemd.ctl("start", "shop.socket").returncode == 0
    keys = {"healthcheck_url": f"http://{address}/", "healthcheck_seconds": 10}
    configure(site, plugins=["systemd", "healthcheck"], **keys)
    serve = {"run.sh": b"exec python3 serve.py\n", "serve.py": ACTIVATED}
    conf = {"configs/systemd_production_web.service": needs.encode()}
    try:
        for version in ("1", "2"):
            done = site.release(site.add(version, **serve, **conf))
            assert done.returncode == 0, done.stderr
        began = time.monotonic()
        dies = {**serve, "run.sh": b"sleep 2; exit 3\n"}
        done = site.release(site.add("3", **dies, **conf))
        assert done.returncode == 4, done.stderr
        assert "shop.service (process" in done.stderr
        assert time.monotonic() - began < 10, "it does not wait for the seconds of the health check"
        assert site.versions() == ["2"]
    finally:
        systemd.ctl("stop", "shop.socket")
        host.run(["rm", f"{folder}/shop.socket"], check=True)

"""The processes that a role runs, from its Procfile and deploy.yml, on a real `systemd --user` of a host."""

import json
import re
from collections.abc import Iterator, Sequence

import pytest

from tests.parts.fleet import Host, wait_until
from tests.parts.fleet_site import FleetSite, builds, site
from tests.parts.repository import ROOT
from tests.parts.systemd import Systemd
from tests.parts.systemd_site import HOME, configure, hosts, systemd, unit

__all__ = ["builds", "hosts", "site", "systemd"]

pytestmark = pytest.mark.systemd

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
PROCFILE = "web: exec sleep 2$PORT\nworker: exec sleep 3$PORT\n"
UNITS = f"{HOME}/.config/systemd/user"
THREE = {
    "shop-web@8000": "sleep 28000",
    "shop-web@8001": "sleep 28001",
    "shop-worker@8100": "sleep 38100",
}
TWO_AND_ONE = {"web": 2, "worker": 1}


@pytest.fixture(autouse=True)
def clean(systemd: Systemd, hosts: list[Host]) -> Iterator[None]:
    yield
    systemd.ctl("stop", "shop.target", "shop.service", "shop-*")
    hosts[0].run(["sh", "-c", f"rm -rf {UNITS} bin/systemctl bin/sudo bin/journalctl sudo.log"], check=True)
    systemd.ctl("daemon-reload")
    systemd.ctl("reset-failed")


def build(site: FleetSite, version: str, procfile: str = PROCFILE, **more: bytes) -> str:
    return site.add(version, **{"Procfile": procfile.encode(), ".fap/run": RUN, **more})


def release(site: FleetSite, url: str, code: int = 0) -> str:
    """Release it; returns what was said."""
    done = site.release(url)
    assert done.returncode == code, done.stderr
    return done.stderr


def running(systemd: Systemd, folder: str = f"{HOME}/www/shop") -> dict[str, str]:
    """The command of each service that runs in `current`, by its unit; another one's folder is told."""
    listed = systemd.ctl("list-units", "--plain", "--no-legend", "--state=active", "shop*.service").stdout
    current = systemd.host.run(["readlink", "-f", f"{folder}/current"]).stdout.strip()
    found = {}
    for line in listed.splitlines():
        name = line.split()[0]
        pid = systemd.ctl("show", "--value", "-p", "MainPID", name).stdout.strip()
        command = systemd.host.run(["cat", f"/proc/{pid}/cmdline"]).stdout.replace("\0", " ").strip()
        cwd = systemd.main_cwd(name)
        found[name.removesuffix(".service")] = command if cwd == current else cwd
    return found


def unit_files(host: Host) -> set[str]:
    listed = host.run(["sh", "-c", f"cd {UNITS} && find . -type f -o -type l"]).stdout.split()
    return {name.removeprefix("./") for name in listed}


def test_processes_come_change_and_go_back_with_their_release(site: FleetSite, systemd: Systemd) -> None:
    host = site.hosts[0]
    configure(site, processes=TWO_AND_ONE, environment={"SAID": "it's 100 %"})
    release(site, build(site, "1"))
    assert running(systemd) == THREE
    all_files = {
        "shop.target",
        "shop-web@.service",
        "shop-worker@.service",
        "default.target.wants/shop.target",
    }
    assert unit_files(host) == all_files
    pid = systemd.ctl("show", "--value", "-p", "MainPID", "shop-web@8001").stdout.strip()
    assert "SAID=it's 100 %" in host.run(["cat", f"/proc/{pid}/environ"]).stdout.split("\0")

    configure(site, processes={"web": 1})
    changes = site.release(build(site, "1"), "--dry-run").stdout.partition("  processes\n")[2]
    assert "    - Wants=shop-web@8000.service shop-web@8001.service\n" in changes
    assert "    + Wants=shop-web@8000.service\n" in changes
    assert "    - ==> .fap/systemd/shop-worker@.service\n" in changes
    assert "Description=shop: web" not in changes
    release(site, build(site, "1"))
    assert running(systemd) == {"shop-web@8000": "sleep 28000"}
    assert unit_files(host) == all_files - {"shop-worker@.service"}

    done = site.run("rollback", "production")
    assert done.returncode == 0, done.stderr
    assert running(systemd) == THREE
    assert unit_files(host) == all_files


def test_a_killed_controller_leaves_no_stopped_processes(site: FleetSite, systemd: Systemd) -> None:
    """All stop before any starts; the controller dies in between."""
    # systemd sends TERM to every process of the unit, and to new ones.
    procfile = "web: trap 'trap \"\" TERM; sleep 7; exit 0' TERM; sleep 1000 & wait\n"
    configure(site, processes={"web": 1})
    release(site, build(site, "1", procfile))
    run = site.start("release", "--curl-url", build(site, "2", procfile), "production")
    state = ("show", "--value", "-p", "ActiveState", "shop-web@8000")
    wait_until(lambda: systemd.ctl(*state).stdout == "deactivating\n", "the old one stops", 20)
    run.kill()
    run.communicate()
    wait_until(lambda: not site.locked(), "the lock goes with its controller", 15)
    wait_until(lambda: systemd.ctl(*state).stdout == "active\n", "the new one starts", 20)
    current = systemd.host.run(["readlink", "-f", "www/shop/current"]).stdout.strip()
    # It is active from its fork on, and only then changes its folder.
    wait_until(lambda: systemd.main_cwd("shop-web@8000") == current, "it runs in the new release", 10)
    release(site, build(site, "3"))
    assert site.versions() == ["3"]


def test_they_restart_are_seen_and_have_logs(site: FleetSite, systemd: Systemd) -> None:
    host = site.hosts[0]
    configure(site, processes=TWO_AND_ONE)
    release(site, build(site, "1"))
    before = systemd.ctl("show", "--value", "-p", "MainPID", "shop-worker@8100").stdout
    done = site.run("restart", "production")
    assert done.returncode == 0, done.stderr
    assert systemd.ctl("show", "--value", "-p", "MainPID", "shop-worker@8100").stdout != before
    assert running(systemd) == THREE
    assert "stopped within 1 s and started within 1 s" in site.run("doctor", "production").stdout
    # One that ends by itself, as it should not, is started again.
    systemd.ctl("kill", "--signal", "KILL", "shop-worker@8100")
    assert "shop-worker@8100.service is activating (auto-restart)" in site.run("doctor", "production").stdout
    worker = "shop-worker@8100"
    wait_until(lambda: systemd.ctl("is-active", worker).stdout == "active\n", "the worker runs again", 10)
    assert "is healthy: the checks of its plugins pass" in site.run("doctor", "production").stdout
    (row,) = map(json.loads, site.run("status", "production", "--json").stdout.splitlines())
    seen = {each["name"]: each for each in row["processes"]}
    assert {name: each["restarts"] for name, each in seen.items()} == {
        "shop-web@8000.service": 0,
        "shop-web@8001.service": 0,
        "shop-worker@8100.service": 1,
    }
    assert 0 <= seen["shop-worker@8100.service"]["up"] < seen["shop-web@8000.service"]["up"] < 300
    head, shown = site.run("status", "production").stdout.splitlines()
    assert head.split()[-2:] == ["up", "restarts"]
    assert re.search(r"ada@ci  \d+ (s|min \d+ s) +1$", shown)
    systemd.ctl("stop", "shop-worker@8100")
    assert re.search(r"ada@ci  down +\d +UNHEALTHY\n", site.run("status", "production").stdout)
    assert "shop-worker@8100.service is inactive" in site.run("doctor", "production").stdout
    # There is no journald here: a journalctl of our own notes its words.
    script = "mkdir -p bin; printf '#!/bin/sh\necho \"$*\"\n' >bin/journalctl; chmod +x bin/journalctl"
    host.run(["sh", "-c", script], check=True)
    shown = site.run("logs", "production", "web")
    three = "-u shop-web@8000.service -u shop-web@8001.service -u shop-worker@8100.service"
    assert three in shown.stdout, shown.stderr


SLOW = b"""\
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(2), sys.exit()))
time.sleep(1000)
"""


@pytest.mark.parametrize("processes", [{"web": 1}, {}])
def test_how_long_a_stop_takes_is_measured(
    site: FleetSite, systemd: Systemd, processes: dict[str, int]
) -> None:
    configure(site, processes=processes)
    conf = {
        "configs/systemd_production_web.service": unit("1").encode(),
        "run.sh": b"exec python3 run.py\n",
        "run.py": SLOW,
    }
    release(site, build(site, "1", "web: exec python3 run.py\n", **conf))
    done = site.run("restart", "production")
    assert done.returncode == 0, done.stderr
    stop, start = site.hosts[0].run(["cat", "www/shop/.fap/restarted"]).stdout.split()
    assert 200 <= int(stop) < 500, stop
    assert 0 <= int(start) < 200, start


HOSTILE = {
    "quotes": ("exec python3 run.py 'a b' \"c'd\" e\\ f", ["a b", "c'd", "e f"]),
    "dollars": ("exec python3 run.py $PORT ${PORT} '$PORT' $$x \"\\$PORT\"", None),
    "specifiers": ("exec python3 run.py %n %i %% %", ["%n", "%i", "%%", "%"]),
    "a shell's": (
        "X=1; export X; exec python3 run.py `echo one` $(echo two) ; false # no",
        ["one", "two"],
    ),
    "backslashes": ("exec python3 run.py \\\\ '\\x41' '\\n'", ["\\", "\\x41", "\\n"]),
    "without exec": ("python3 run.py -a @b +d", ["-a", "@b", "+d"]),
}
TELLS = b"import json, sys, time\nprint(json.dumps(sys.argv[1:]))\ntime.sleep(1000)\n"


def test_a_line_of_the_procfile_means_what_it_means_to_sh(site: FleetSite, systemd: Systemd) -> None:
    """And a folder is what it is called, whatever systemd makes of such names."""
    path = f"{HOME}/www/it's 100 %h $HOME"
    names = {f"p{number}": line for number, (line, _) in enumerate(HOSTILE.values())}
    configure(site, processes=dict.fromkeys(names, 1), path=path)
    procfile = "".join(f"{name}: {line}\n" for name, line in names.items())
    release(site, build(site, "1", procfile, **{"run.py": TELLS}))
    found = running(systemd, path)
    assert len(found) == len(HOSTILE), found
    for number, (_, words) in enumerate(HOSTILE.values()):
        port = str(8000 + 100 * number)
        service = f"shop-p{number}@{port}.service"
        pid = systemd.ctl("show", "--value", "-p", "MainPID", service).stdout.strip()
        argv = systemd.host.run(["cat", f"/proc/{pid}/cmdline"]).stdout.split("\0")[2:-1]
        if words is None:
            assert re.fullmatch(rf"{port} {port} \$PORT \d+x \$PORT", " ".join(argv)), argv
        else:
            assert argv == words


def test_one_that_dies_goes_back_to_the_old_ones(site: FleetSite, systemd: Systemd) -> None:
    host = site.hosts[0]
    configure(site, processes=TWO_AND_ONE, systemd_seconds=3)
    release(site, build(site, "1"))
    before = unit_files(host)
    configure(site, processes={"web": 1, "clock": 1}, systemd_seconds=3)
    said = release(site, build(site, "2", PROCFILE + "clock: echo no time >&2; exit 3\n"), 4)
    assert "shop-clock@8100.service" in said
    assert running(systemd) == THREE
    assert unit_files(host) == before
    assert site.versions() == ["1"]


def test_a_first_release_that_dies_leaves_nothing(site: FleetSite, systemd: Systemd) -> None:
    configure(site, processes={"web": 2}, systemd_seconds=3)
    release(site, build(site, "1", "web: exit 3\n"), 4)
    assert unit_files(site.hosts[0]) == set()
    assert running(systemd) == {}
    assert systemd.ctl("is-active", "shop.target").stdout == "inactive\n"


def test_what_the_procfile_lacks_ends_it_before_anything_changes(site: FleetSite, systemd: Systemd) -> None:
    configure(site, processes={"web": 1, "clock": 1})
    said = release(site, build(site, "1"), 1)
    assert "the artifact's Procfile has no process clock; it has: web worker" in said
    configure(site, processes={"web": 1}, systemd_unit="shop@1.service")
    assert "systemd_unit: 'shop@1.service' is an instance" in release(site, build(site, "1"), 2)
    configure(site, processes={"web": 1}, plugins=["supervisorctl", "systemd"])
    assert "supervisorctl and systemd would both run" in release(site, build(site, "1"), 2)


def test_a_unit_of_the_release_before_makes_room_and_comes_back(site: FleetSite, systemd: Systemd) -> None:
    conf = {"configs/systemd_production_web.service": unit("one").encode(), "run.sh": b"exec sleep 1000\n"}
    configure(site)
    release(site, build(site, "1", **conf))
    assert running(systemd) == {"shop": "sleep 1000"}
    configure(site, processes=TWO_AND_ONE, systemd_seconds=3)
    release(site, build(site, "2", "web: exit 3\nworker: exit 3\n", **conf), 4)
    assert running(systemd) == {"shop": "sleep 1000"}
    configure(site, processes=TWO_AND_ONE)
    release(site, build(site, "3", **conf))
    assert running(systemd) == THREE
    assert "shop.service" not in unit_files(site.hosts[0])
    done = site.run("rollback", "production")
    assert done.returncode == 0, done.stderr
    assert running(systemd) == {"shop": "sleep 1000"}
    assert unit_files(site.hosts[0]) == {"shop.service", "default.target.wants/shop.service"}


def test_a_unit_that_was_there_before_makes_room_and_comes_back(site: FleetSite, systemd: Systemd) -> None:
    by_hand = unit("by hand").replace("/bin/sh run.sh", "/bin/sleep 1000")
    script = (
        f"mkdir -p www/shop/releases/blue {UNITS}; ln -s releases/blue www/shop/current;"
        f" cat >{UNITS}/shop.service"
    )
    systemd.host.run(["sh", "-c", script], stdin=by_hand, check=True)
    systemd.ctl("daemon-reload")
    systemd.ctl("enable", "--now", "shop.service")
    assert running(systemd) == {"shop": "/bin/sleep 1000"}
    configure(site, processes=TWO_AND_ONE, systemd_seconds=3)
    release(site, build(site, "1", "web: exit 3\nworker: exit 3\n"), 4)
    assert running(systemd) == {"shop": "/bin/sleep 1000"}
    assert unit_files(site.hosts[0]) == {"shop.service", "default.target.wants/shop.service"}
    release(site, build(site, "2"))
    assert running(systemd) == THREE


@pytest.mark.parametrize(("how", "calls_of"), [("fails", range(1, 7)), ("is killed", (3, 4))])
def test_wherever_it_stops_the_next_run_ends_it(
    site: FleetSite, systemd: Systemd, how: str, calls_of: Sequence[int]
) -> None:
    """Each command that changes something in turn, and all of what would undo it then."""
    host = site.hosts[0]
    after = {"shop-web@8000": "sleep 28000", "shop-clock@8100": "sleep 48100"}
    procfile = PROCFILE + "clock: exec sleep 4$PORT\n"
    stop = "kill -KILL 0" if how == "is killed" else "echo Failed to do that >&2; exit 1"
    for number in calls_of:
        configure(site, processes=TWO_AND_ONE, process_seconds=0)
        release(site, build(site, f"a{number}{how[0]}"))
        assert running(systemd) == THREE
        shim = f"""#!/bin/sh
case $* in *daemon-reload* | *enable* | *stop* | *start*)
  echo >>~/systemctl.calls
  [ "$(wc -l <~/systemctl.calls)" -lt {number} ] || {{ {stop}; }} ;;
esac
exec /usr/bin/systemctl "$@"
"""
        script = "rm -f systemctl.calls; cat >bin/systemctl; chmod +x bin/systemctl"
        host.run(["sh", "-c", f"mkdir -p bin; {script}"], stdin=shim, check=True)
        configure(site, processes={"web": 1, "clock": 1}, process_seconds=0)
        url = build(site, f"b{number}{how[0]}", procfile)
        first = site.release(url)
        calls = len(host.run(["cat", "systemctl.calls"]).stdout.splitlines())
        assert (first.returncode == 0) == (calls < number), first.stderr
        host.run(["rm", "bin/systemctl"], check=True)
        release(site, url)
        assert running(systemd) == after, number
        assert unit_files(host) == {
            "shop.target",
            "shop-web@.service",
            "shop-clock@.service",
            "default.target.wants/shop.target",
        }


def test_the_systems_units_are_asked_for_by_sudo(site: FleetSite, systemd: Systemd) -> None:
    configure(site, systemd_user=False, processes={"web": 1})
    said = release(site, build(site, "1"), 1)
    (line,) = (line for line in said.splitlines() if "NOPASSWD" in line)
    for command in ("tee", "rm -f"):
        for name in ("shop.target", "shop-web@.service"):
            assert f"{command} /etc/systemd/system/{name}," in line
    for verb in ("enable", "stop", "start"):
        assert f"systemctl {verb} shop.target," in line
    assert line.endswith("systemctl disable --now shop.target")
    # There is no system manager here: a sudo of our own notes the words, and asks the user's manager instead.
    sudo = f"""#!/bin/sh
echo "$*" >>~/sudo.log
shift
case $1 in
  -l) exit 0 ;;
  tee) sed /^User=/d >{UNITS}/"${{2##*/}}"; exit ;;
  systemctl) shift; export XDG_RUNTIME_DIR={systemd.runtime}; exec systemctl --user "$@" ;;
esac
exit 9
"""
    make = f"mkdir -p bin {UNITS}; cat >bin/sudo; chmod +x bin/sudo"
    systemd.host.run(["sh", "-c", make], stdin=sudo, check=True)
    configure(site, systemd_user=False, systemd_check_status=False, processes={"web": 1})
    release(site, build(site, "1"))
    assert running(systemd) == {"shop-web@8000": "sleep 28000"}
    asked = systemd.host.run(["grep", "-v", "^-n -l", "sudo.log"]).stdout.splitlines()
    assert asked == [
        "-n tee /etc/systemd/system/shop-web@.service",
        "-n tee /etc/systemd/system/shop.target",
        "-n systemctl daemon-reload",
        "-n systemctl enable shop.target",
        "-n systemctl stop shop.target",
        "-n systemctl start shop.target",
    ]
    kept = systemd.host.run(["cat", "www/shop/current/.fap/systemd/shop-web@.service"]).stdout
    assert "\nUser=deploy\n" in kept

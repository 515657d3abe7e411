"""The configuration that an artifact brings for supervisord, and the user of what it runs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from faprelease.plugins import supervisorctl
from faprelease.steps.model import Step, host_program, words
from tests.parts.fleet import wait_until
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = pytest.mark.supervisord

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
ONE = "[program:shop]\ncommand=/bin/true\n"


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    """One that runs as root, and that every user may ask."""
    home = tmp_path_factory.mktemp("d")
    with supervisord_in(home) as running:
        (running.folder / "socket").chmod(0o666)
        for folder in (home, *home.parents[:-2], running.folder):
            folder.chmod(0o755)
        ctl = running.bin / "supervisorctl"
        ctl.write_text(ctl.read_text().replace(sys.executable, "/usr/bin/python3"))
        yield running


def run(step: Step, supervisord: Supervisord, user: list[str]) -> tuple[int, str]:
    assert step.program
    text = f"{step.program.text}\n#### input\n"
    environment = {**os.environ, "PATH": f"{supervisord.bin}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*user, "sh", "-c", step.script],
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        cwd="/",
    )
    return done.returncode, done.stdout


def check(
    folder: Path, supervisord: Supervisord, text: str, program: str = "shop", user: list[str] = NOBODY
) -> tuple[int, str]:
    conf = folder / "shop.conf"
    conf.write_text(text)
    conf.chmod(0o644)
    rendered = folder / "rendered.conf"
    options = words(
        {
            "conf": str(conf),
            "program": program,
            "shown": "configs/shop.conf",
            "rendered": str(rendered),
            "path": "/srv/shop",
        }
    )
    names = ("supervisor_conf", *supervisorctl.PROGRAM)
    return run(host_program("check", *names, arguments=options, limit=60), supervisord, user)


@pytest.fixture
def folder(supervisord: Supervisord) -> Path:
    return supervisord.conf_d.parent


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (ONE + "user=nobody\n", "shop"),
        (ONE + "user = 65534 ; its id\n", "shop"),
        (ONE + "user=nobody\n", "shop:*"),
        (ONE + "user=nobody\nstdout_logfile=/srv/shop/shared/log/a.log\nstderr_logfile=NONE\n", "shop"),
        ("[group:shop]\nprograms=a, b\n[program:a]\nuser=nobody\n[program:b]\nuser=nobody\n", "shop"),
    ],
)
def test_programs_of_the_own_user_are_fine(
    folder: Path, supervisord: Supervisord, text: str, program: str
) -> None:
    assert check(folder, supervisord, text, program) == (0, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ONE, "would run shop as root; in [program:shop] it must say: user=nobody"),
        (ONE + "user=postgres\n", "would run shop as postgres; in [program:shop] it must say: user=nobody"),
        (ONE + "user=nobody\n[supervisord]\nuser=root\n", "has a section [supervisord], which"),
        (ONE + "user=nobody\n[include]\nfiles=/tmp/*\n", "has a section [include], which supervisord would"),
        (ONE + "user=nobody\n[eventlistener:x]\ncommand=/bin/x\n", "has a section [eventlistener:x], which"),
        (ONE + "user=nobody\n[inet_http_server]\nport=9001\n", "has a section [inet_http_server], which"),
        (ONE.replace("shop", "other"), "has no program or group shop, only: other"),
        ("", "has no program or group shop, only: none"),
        (ONE + "[program:worker]\ncommand=x\n", "bring it into shop:\n[group:shop]\nprograms=shop,worker"),
        ("[group:shop]\nprograms=a\n[program:a]\n[program:b]\n", "[group:shop]\nprograms=a,b"),
        (ONE + "user=nobody\n[DEFAULT]\nenvironment=LD_PRELOAD=/tmp/x\n", "has a section [DEFAULT]"),
        (ONE + "user=nobody\nstdout_logfile=/etc/cron.d/x\n", "has shop log to /etc/cron.d/x"),
        (ONE + "user=nobody\nstderr_logfile=/srv/shop/../x\n", "has shop log to /srv/shop/../x"),
        ("[group:shop]\nprograms=a,ssh\n[program:a]\nuser=nobody\n", "has ssh in a group, and no such"),
        ("no ini", "can't be read: File contains no section headers."),
    ],
)  # fmt: skip
def test_what_a_supervisord_of_root_would_obey_is_refused(
    folder: Path, supervisord: Supervisord, text: str, message: str
) -> None:
    code, said = check(folder, supervisord, text)
    assert code == 1
    assert said.startswith("configs/shop.conf ")
    assert message in said


@pytest.fixture
def neighbour(folder: Path) -> Iterator[Path]:
    """Another deployment on the host, with a program."""
    place = folder / "blog"
    (place / "current/bin").mkdir(parents=True)
    (place / ".fap").mkdir()
    (place / ".fap/owner").write_text("{}\n")
    (place / "current/bin/serve").write_text("#!/bin/sh\n")
    (place / "current/bin/serve").chmod(0o755)
    (place / "current/data").write_text("")
    yield place
    shutil.rmtree(place)


@pytest.mark.parametrize("user", [NOBODY, []], ids=["as nobody", "as root"])
@pytest.mark.parametrize("start", ["", "/usr/bin/env A=1 ", "/bin/sh -c 'cd / && exec "])
def test_a_command_follows_the_releases_of_its_own_deployment(
    folder: Path, supervisord: Supervisord, neighbour: Path, start: str, user: list[str]
) -> None:
    end = "'" if "'" in start else ""

    def of(command: str) -> tuple[int, str]:
        conf = f"[program:shop]\nuser=nobody\ncommand={start}{command}{end}\n"
        return check(folder, supervisord, conf, user=user)

    code, said = of("/srv/shop/releases/261130-101010/venv/bin/gunicorn wsgi")
    assert code == 1
    assert "which stays on that release; name it through /srv/shop/current" in said
    code, said = of(f"{neighbour}/current/bin/serve")
    assert code == 1
    assert f"which another deployment has, in {neighbour}" in said
    for command in (
        "/srv/shop/current/venv/bin/gunicorn wsgi",
        "venv/bin/gunicorn -b unix:/srv/shop/run/a.sock",
        "/usr/bin/node /srv/shop/current/server.js",
        "%%(here)s/run",
        f"venv/bin/proxy --to {neighbour}/current/data",
    ):
        assert of(command.replace("%%", "%")) == (0, "")


def test_an_artifact_brings_no_file_in_place_of_the_checked_one(
    folder: Path, supervisord: Supervisord
) -> None:
    (folder / "rendered.conf").write_text("[program:shop]\nuser=root\n")
    code, said = check(folder, supervisord, ONE + "user=nobody\n")
    (folder / "rendered.conf").unlink()
    assert code == 1
    assert said.startswith("configs/shop.conf is not used: the artifact brings ")


def test_root_may_release_programs_of_any_user(folder: Path, supervisord: Supervisord) -> None:
    assert check(folder, supervisord, ONE, user=[]) == (0, "")
    assert check(folder, supervisord, ONE + "user=www-data\n", user=[]) == (0, "")


def test_a_program_that_runs_as_root_does_not_pass(supervisord: Supervisord) -> None:
    """The gate sees it too, whatever brought the program."""
    (supervisord.conf_d / "shop.conf").write_text(
        "[program:shop]\ncommand=sleep 1000\ndirectory=/usr/share\nstartsecs=0\n"
        "[program:shop2]\ncommand=sleep 1000\ndirectory=/usr/share\nstartsecs=0\nuser=nobody\n"
    )
    supervisord.ctl("update")
    wait_until(lambda: supervisord.ctl("status").stdout.count("RUNNING") == 2, "both run", 20)

    def gate(program: str, of_user: str = "yes") -> tuple[int, str]:
        options = {"release": "/usr/share", "program": program, "children": "", "seconds": "0"}
        options["of_user"] = of_user
        step = host_program("check", *supervisorctl.PROGRAM, arguments=["check", *words(options)], limit=60)
        return run(step, supervisord, NOBODY)

    pid = supervisord.ctl("pid", "shop").stdout.strip()
    code, said = gate("shop")
    assert (code, said) == (1, f"shop (process {pid}) runs as root, and the release belongs to nobody\n")
    code, said = gate("shop", of_user="")  # a rollback to what ran so before
    assert (code, said.startswith("warning: shop (process ")) == (0, True)
    code, said = gate("shop2")
    assert code == 0
    assert said.startswith("shop2 (process ")

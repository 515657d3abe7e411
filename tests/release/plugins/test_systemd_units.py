"""The unit files that `processes` becomes, as systemd itself reads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faprelease.config.settings import Settings
from faprelease.plugins import systemd_units
from faprelease.steps.layout import Layout
from tests.parts.repository import ROOT

LAYOUT = Layout("/srv/100%", "/srv/100%/current", "/srv/100%/releases", "/srv/100%/shared")
SETTINGS = Settings(
    processes={"web": 2, "cron": 0, "worker": 1}, sudo_user="root", environment_file="conf/env"
)
PROGRAM = f"""\
import sys
sys.path.insert(0, {str(ROOT / "faprelease/host/programs")!r})
from systemd import *
"""
"""The host's program, whose `main` follows."""


@pytest.mark.parametrize("of_user", [False, True])
def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path, of_user: bool) -> None:
    layout = Layout(*(str(tmp_path / name) for name in ("100%", "100%/current", "releases", "shared")))
    Path(layout.current).mkdir(parents=True)
    found = systemd_units.files(SETTINGS, layout, "shop.service", of_user=of_user)
    assert sorted(found) == ["shop-web@.service", "shop-worker@.service", "shop.target"]
    for name, text in found.items():
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / name) for name in found]
    command = ["systemd-analyze", "verify", "--man=no", *(["--user"] if of_user else []), *paths]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_units_of_the_system_say_whose_they_are() -> None:
    system, own = (
        systemd_units.files(SETTINGS, LAYOUT, "shop.service", of_user=each) for each in (False, True)
    )
    assert "\nUser=root\n" in system["shop-web@.service"]
    assert "User=" not in own["shop-web@.service"]
    assert "WantedBy=multi-user.target" in system["shop.target"]
    assert "WantedBy=default.target" in own["shop.target"]


def test_what_systemd_would_read_otherwise_is_told_apart() -> None:
    text = systemd_units.files(SETTINGS, LAYOUT, "shop.service", of_user=True)["shop-web@.service"]
    assert "\nWorkingDirectory=/srv/100%%/current\n" in text
    assert "\nEnvironmentFile=-/srv/100%%/current/conf/env\n" in text
    assert "EnvironmentFile" not in str(
        systemd_units.files(Settings(processes={"web": 1}), LAYOUT, "shop.service", of_user=True)
    )


def test_ports_are_instances() -> None:
    target = systemd_units.files(SETTINGS, LAYOUT, "shop.service", of_user=True)["shop.target"]
    assert [line for line in target.splitlines() if line.startswith("Wants=")] == [
        "Wants=shop-web@8000.service shop-web@8001.service",
        "Wants=shop-worker@8200.service",
    ]


def own(folder: Path, action: str, *names: str) -> subprocess.CompletedProcess[str]:
    """Run an action of the host's program on a release that has these unit files."""
    units = folder / ".fap/systemd"
    units.mkdir(parents=True)
    for name in names:
        (units / name).write_text("[Unit]\n")
    code = f"{PROGRAM}\nmain(None, {{}}, *sys.argv[1:])"
    words = [action, "user=yes", "unit=shop.service", "conf=x", f"release={folder}"]
    words += ["ports="] if action == "log" else []
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)


@pytest.mark.parametrize(
    "names",
    [
        *[
            ("ssh.service",),
            ("shop.service",),
            ("shop.target", "ssh.service"),
            ("shop.target", "other-web@.service"),
        ],
        *[("other.target", "other-web@.service"), ("shop.target", "shop-web@8000.service"), ("shop.timer",)],
        *[("shop.target", "shopx-web@.service"), ("shop.target", ".hidden"), ("shop.socket", "shop.target")],
    ],
)
def test_an_artifact_brings_no_unit_of_anything_else(names: tuple[str, ...], tmp_path: Path) -> None:
    done = own(tmp_path, "own", *names)
    assert (done.returncode, done.stderr) == (1, "")
    assert "does not belong to this app" in done.stdout
    assert "shop.target and shop-PROCESS@.service" in done.stdout


def test_it_may_bring_its_own(tmp_path: Path) -> None:
    names = ("shop.target", "shop-web@.service", "shop-web-2@.service")
    assert own(tmp_path, "own", *names).returncode == 0


def test_a_link_is_no_unit(tmp_path: Path) -> None:
    (tmp_path / ".fap/systemd").mkdir(parents=True)
    (tmp_path / ".fap/systemd/shop.target").symlink_to("/etc/shadow")
    (tmp_path / "again").mkdir()
    (tmp_path / "again/.fap").symlink_to(tmp_path / ".fap")
    code = f"{PROGRAM}\nmain(None, {{}}, *sys.argv[1:])"
    words = ["own", "user=yes", "unit=shop.service", "conf=x", f"release={tmp_path}/again"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 1
    assert "does not belong" in done.stdout


def test_a_release_from_before_with_such_units_is_not_published_again(tmp_path: Path) -> None:
    done = own(tmp_path, "log", "ssh.service")
    assert done.returncode == 1
    assert "does not belong to this app" in done.stdout


@pytest.mark.parametrize(("conf", "warns"), [("x", True), ("", False)])
def test_the_line_for_sudoers_says_what_it_gives_away(conf: str, warns: bool, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for name in ("sudo", "systemctl", "tee", "rm"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / "bin" / name).chmod(0o755)
    code = f"{PROGRAM}\nos.geteuid = lambda: 65534\nmain(None, {{}}, *sys.argv[1:])"
    words = ["ask", "user=", "unit=shop.service", f"conf={conf}", "verb=restart", "release=", "before="]
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "brings=shop.service", "owner=", "path=/srv/shop"],
        capture_output=True,
        text=True,
        env={"PATH": str(tmp_path / "bin")},
    )
    assert done.returncode == 1, done.stderr
    assert "ALL=(root) NOPASSWD: " in done.stdout
    assert ("is as powerful as root" in done.stdout) is warns

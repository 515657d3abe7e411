"""The unit files that `processes` becomes, as systemd itself reads them."""

import os
import subprocess
from pathlib import Path

import pytest

from faprelease.config.settings import Settings
from faprelease.plugins import systemd_units
from faprelease.steps.layout import Layout

LAYOUT = Layout("/srv/100%", "/srv/100%/current", "/srv/100%/releases", "/srv/100%/shared")
SETTINGS = Settings(
    processes={"web": 2, "cron": 0, "worker": 1}, sudo_user="root", environment_file="conf/env"
)


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

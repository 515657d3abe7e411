"""The app `shop` on a host with a real `systemd --user`."""

import json
from collections.abc import Iterator

import pytest

from tests.parts.fleet import Host, fleet, home_of
from tests.parts.fleet_site import FleetSite
from tests.parts.systemd import Systemd, systemd_on

HOME = "/home/deploy"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    with fleet(tmp_path_factory.mktemp("fleet"), 1) as started:
        yield started


@pytest.fixture(scope="module")
def systemd(hosts: list[Host]) -> Iterator[Systemd]:
    assert str(home_of("deploy")) == HOME
    with systemd_on(hosts[0]) as manager:
        yield manager


def unit(mark: str = "1", more: str = "") -> str:
    return (
        f"[Unit]\nDescription=shop {mark}\n[Service]\nWorkingDirectory={HOME}/www/shop/current\n"
        f"EnvironmentFile=-{HOME}/www/shop/current/.env\nExecStart=/bin/sh run.sh\n{more}\n"
        "[Install]\nWantedBy=default.target\n"
    )


def configure(site: FleetSite, **more: object) -> None:
    keys = {"plugins": ["systemd"], "process_seconds": 1, "systemd_user": True, "systemd_seconds": 10, **more}
    site.configure("\n".join(f"{key}: {json.dumps(value)}" for key, value in keys.items()))

"""The example shop is consistent: what one of its files names, another one has."""

import configparser
import json
import re
import tomllib
from itertools import product
from typing import Any

import pytest
import yaml

from tests.parts.repository import ROOT

SHOP = ROOT / "examples" / "shop"
STAGES = ("staging", "production")
ROLES = ("web", "worker", "cron")


@pytest.fixture(scope="module")
def deploy() -> dict[str, Any]:
    return yaml.safe_load((SHOP / "deploy.yml").read_text())


def test_every_stage_has_every_role_and_hosts(deploy: dict[str, Any]) -> None:
    stages = deploy["stage_role_configs"]
    assert {stage: tuple(roles) for stage, roles in stages.items()} == dict.fromkeys(STAGES, ROLES)
    assert all(stages[stage][role]["hosts"] for stage, role in product(STAGES, ROLES))


@pytest.mark.parametrize("stage", STAGES)
def test_web_starts_beside_the_release_before_and_is_checked(deploy: dict[str, Any], stage: str) -> None:
    web = deploy["stage_role_configs"][stage]["web"]
    assert (list(web["processes"]), web["handover"]) == (["web"], "beside")
    assert {"supervisorctl", "healthcheck"} <= set(web["plugins"])
    (command,) = re.findall(r"^web: (.*)$", (SHOP / "Procfile").read_text(), re.MULTILINE)
    assert "--bind ${FAP_BIND:-" in command


@pytest.mark.parametrize(("stage", "role"), list(product(STAGES, ROLES[1:])))
def test_supervisor_runs_the_process_of_the_current_release(
    deploy: dict[str, Any], stage: str, role: str
) -> None:
    names = {"app_name": deploy["app_name"], "stage": stage, "role": role}
    conf = configparser.RawConfigParser()
    conf.read(SHOP / (deploy["supervisor_conf"] % names))
    program = conf[f"program:{deploy['supervisor_program'] % names}"]
    current = f"{deploy['path'] % names}/current"
    assert (program["command"], program["directory"]) == (f"{current}/.fap/run {role}", current)
    assert (program["stopasgroup"], program["killasgroup"], program["startsecs"]) == ("true", "true", "1")


def test_every_role_is_a_process() -> None:
    lines = (SHOP / "Procfile").read_text().splitlines()
    assert tuple(line.partition(":")[0] for line in lines) == ROLES


def test_the_lock_pins_ten_packages_or_more_each_with_hashes() -> None:
    lock = (SHOP / "requirements.txt").read_text()
    pins = re.findall(r"^([a-z0-9-]+)==\S+ \\\n    --hash=sha256:", lock, re.MULTILINE)
    assert len(pins) >= 10
    assert len(pins) == len(re.findall(r"^\S+==", lock, re.MULTILINE))
    assert {"docopt", "markupsafe"} <= set(pins)


def test_locks_name_no_registry() -> None:
    packages = json.loads((SHOP / "frontend/package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert "://" not in (SHOP / "requirements.txt").read_text()


def test_the_asset_step_is_where_the_templates_look() -> None:
    settings = tomllib.loads((SHOP / "pyproject.toml").read_text())["tool"]["fapbuild"]
    (step,) = settings["assets"]
    assert step["outputs"] == ["shop/static/dist"]
    assert 'STATIC / "dist"' in (SHOP / "shop/assets.py").read_text()
    assert (SHOP / step["directory"] / "package-lock.json").exists()

"""The YAML fragments of the seed text, with their indentation and quotes restored, load or say what to do.

A fragment lacks what a page of prose leaves out: flags give it a name and hosts, and one without a stage
gets one from a file beside it.
"""

from pathlib import Path
from typing import Any

import pytest

from faprelease.config import target as config
from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.run import run

HERE = Path(__file__).parent
STAGE = "stage_role_configs: {production: {web: {}}}\n"

REFUSED = {
    "codebase.yml": ("fapistrano.git", 'app = "NAME"'),
    "dependencies.yml": ("fapistrano.virtualenv", 'lock = "requirements.txt"'),
    "config.yml": ("fapistrano.git", "[tool.fapbuild]"),
    "build_on_the_host.yml": ("fapistrano_webpack", "[[tool.fapbuild.assets]]"),
    "disposability.yml": ("fapistrano.git", "[tool.fapbuild]"),
}
LOADED: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
    "build_release_run.yml": [("production", "web", {"curl_extract_tgz": True})],
    "processes.yml": [
        ("production", "web", {"linked_files": ["log/audio-transcoding.log", "log/image-compress.log"]})
    ],
    "concurrency_one_host.yml": [("production", "web", {"hosts": ["app-web01"]})],
    "concurrency_three_hosts.yml": [
        ("production", "web", {"hosts": ["app-web01", "app-web02", "app-web03"]})
    ],
    "parity.yml": [
        ("production", "web", {"linked_files": ["app/settings/production.py"]}),
        ("staging", "web", {"linked_files": ["app/settings/staging.py"]}),
    ],
    "codebase_without_git.yml": [
        ("production", "web", {"linked_files": ["configs/supervisor_production_web.conf"]}),
        ("production", "worker", {"linked_files": ["configs/supervisor_production_worker.conf"]}),
        ("production", "cron", {"linked_files": ["configs/supervisor_production_cron.conf"]}),
    ],
    "curl_and_localshared.yml": [
        ("production", "web", {"localshared_source": "/srv/shared/shop", "curl_postinstall_output": False})
    ],
    "config_without_git.yml": [("production", "web", {"linked_files": ["app/settings/production.py"]})],
    "disposability_without_git.yml": [
        ("production", "web", {"supervisor_conf": "configs/supervisor_web.conf", "supervisor_output": True})
    ],
}


def load(name: str, folder: Path, stage: str, role: str) -> list[Target]:
    text = (HERE / name).read_text()
    complete = folder / "deploy.yml"
    complete.write_text(text if "stage_role_configs" in text else text + STAGE)
    flags: dict[str, Any] = {} if "app_name" in text else {"app_name": "shop"}
    if "hosts:" not in text:
        flags["hosts"] = ["web1"]
    file, options = run.load(complete, flags)
    return config.targets(file, stage, role, flags, options)


def test_every_fragment_is_spoken_for() -> None:
    known = {*REFUSED, *LOADED}
    assert {path.name for path in HERE.glob("*.yml")} == known


@pytest.mark.parametrize(
    ("name", "stage", "role", "expected"),
    [(name, *case) for name, cases in LOADED.items() for case in cases],
)
def test_a_fragment_loads(name: str, stage: str, role: str, expected: dict[str, Any], tmp_path: Path) -> None:
    targets = load(name, tmp_path, stage, role)
    assert [target.host for target in targets] == targets[0].settings.hosts
    for key, value in expected.items():
        found = {**targets[0].plugin_values}.get(key, getattr(targets[0].settings, key, None))
        assert found == value


@pytest.mark.parametrize(("name", "named", "instead"), [(name, *both) for name, both in REFUSED.items()])
def test_a_fragment_that_builds_on_hosts_is_refused_by_name(
    name: str, named: str, instead: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(name, tmp_path, "production", "web")
    assert named in refused.value.message
    assert "line " in refused.value.message
    assert instead in refused.value.hint


def test_every_build_step_of_a_file_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load("dependencies.yml", tmp_path, "production", "web")
    for named in ("fapistrano.git", "fapistrano.virtualenv"):
        assert named in refused.value.message

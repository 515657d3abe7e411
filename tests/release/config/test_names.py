"""Names from deploy.yml that become paths, units or headers: each is checked before anything connects."""

from pathlib import Path

import pytest

from faprelease.config import target as config
from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.plugins import healthcheck, supervisorctl, systemd
from faprelease.plugins.hooks import Context
from faprelease.run import run

BASE = "connection: local\n"
STAGES = "stage_role_configs: {production: {web: {}}}\n"


def target(folder: Path, text: str, stages: str = STAGES) -> Target:
    path = folder / "deploy.yml"
    name = "" if "app_name:" in text else "app_name: shop\n"
    path.write_text(f"{name}{BASE}{text}\n{stages}")
    file, keys = run.load(path, {})
    (stage,) = config.stages_of(file, keys)
    (found,) = config.targets(file, stage, None, {}, keys)
    return found


EVIL = ["../x", "..", "/etc", "a/b", "-rf", ".ssh", "a b", "a\tb", "a\nb", "a'b", "a;b", "$(id)", "a\u202eb"]


@pytest.mark.parametrize("name", [*(name for name in EVIL if name != "a b"), " a", "a "])
@pytest.mark.parametrize("key", ["app_name", "project_name"])
def test_the_name_of_an_app_is_no_path(key: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{key}: .* is not a valid name") as refused:
        target(tmp_path, f"{key}: {_quoted(name)}")
    assert refused.value.hint


@pytest.mark.parametrize("name", EVIL)
def test_neither_is_that_of_a_stage_or_a_role(name: str, tmp_path: Path) -> None:
    for stages in (f"{{{_quoted(name)}: {{web: {{}}}}}}", f"{{production: {{{_quoted(name)}: {{}}}}}}"):
        with pytest.raises(ConfigError, match="is not a valid name for a stage or role"):
            target(tmp_path, "", f"stage_role_configs: {stages}\n")


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a b", "root\nUser=x", "a:b", "a/b"])
@pytest.mark.parametrize("key", ["user", "sudo_user"])
def test_a_user_is_a_name(key: str, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"{key}: .* is not a valid user name"):
        target(tmp_path, f"{key}: {_quoted(name)}")


@pytest.mark.parametrize(
    "line",
    [
        *[
            'path: "/srv/a\\nb"',
            'current_path: "/srv/\\eb"',
            'cache_path: "/a\\rb"',
            'environment_file: "a\\nX=y"',
        ],
        *['linked_files: ["a\\rb"]', 'linked_dirs: ["../x"]', "environment_file: ../x"],
    ],
)
def test_paths_have_no_control_characters_and_stay_inside(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=line.partition(":")[0]):
        target(tmp_path, line)


@pytest.mark.parametrize(
    "name", ["shop", "Our shop", "Shop_2.x", "shop-web", "a+b@1", "größe", "%(role)s-shop"]
)
def test_usual_names_stay_possible(name: str, tmp_path: Path) -> None:
    found = target(tmp_path, f"app_name: {_quoted(name)}\nuser: DOM\\ann$\nsudo_user: ann@example.org")
    assert found.settings.path.endswith(found.settings.app_name)


def test_a_user_may_be_a_number_for_sudo(tmp_path: Path) -> None:
    assert target(tmp_path, 'sudo_user: "#1000"').settings.sudo_user == "#1000"


@pytest.mark.parametrize(
    ("plugin", "line", "said"),
    [
        (systemd, 'systemd_unit: "../../x.service"', "not a valid unit name"),
        (systemd, 'systemd_unit: "-x.service"', "not a valid unit name"),
        (systemd, 'systemd_unit: "a b.service"', "not a valid unit name"),
        (systemd, 'systemd_unit: "shop.service\\n"', "not a valid unit name"),
        (systemd, 'systemd_unit: "/etc/x.service"', "not a valid unit name"),
        (healthcheck, 'healthcheck_port: 1\nhealthcheck_host: "a\\r\\nX: y"', "plain ASCII"),
        (healthcheck, 'healthcheck_port: 1\nhealthcheck_host: "a\\nX: y"', "plain ASCII"),
        (healthcheck, "healthcheck_port: 1\nhealthcheck_host: 'a\"'", "plain ASCII"),
        (healthcheck, 'healthcheck_port: 1\nhealthcheck_path: "/ HTTP/1.1\\r\\nX: y"', "plain ASCII"),
        (healthcheck, 'healthcheck_url: "http://a/\\r\\nX: y"', "plain ASCII"),
        (supervisorctl, 'supervisor_program: "../../x"', "not a valid name of a program"),
        (supervisorctl, 'supervisor_program: "x]\\ncommand=id"', "not a valid name of a program"),
        (supervisorctl, 'supervisor_program: "-x"', "not a valid name of a program"),
        (supervisorctl, 'supervisor_signal: "HUP x"', "not a valid signal"),
        (supervisorctl, 'supervisor_target: "x.conf"', "not an absolute path"),
        (supervisorctl, 'supervisor_target: "/a\\nb"', "not an absolute path"),
    ],
)
def test_names_of_units_programs_and_headers(plugin: object, line: str, said: str, tmp_path: Path) -> None:
    found = target(tmp_path, line)
    context = Context(found, "release", "/r/261122-185409", "")
    hooks = ("deploy_starting", "deploy_checking", "deploy_published")
    functions = [getattr(plugin, hook) for hook in hooks if hasattr(plugin, hook)]
    with pytest.raises(ConfigError, match=said):
        _ = [step for function in functions for step in function(context)]


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'

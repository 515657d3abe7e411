"""Stages, roles and hosts with values of their own; which hosts a command is about; all errors at once."""

from pathlib import Path
from typing import Any

import pytest

from faprelease.config import target as config
from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.run import run
from tests.release.conftest import Write

SHOP = """\
app_name: shop
keep_releases: 9
x-common: &common
  keep_releases: 3
  sudo_user: apps
stage_role_configs:
  x-notes: whatever
  production:
    <<: *common
    x-about: {any: thing}
    environment: {WHERE: production}
    user: ops
    web:
      x-more: [1]
      hosts:
        - web1
        - web2: {keep_releases: 2, x-rack: 7, environment: {WHERE: rack}}
        - root@web3:2222
    worker:
      <<: *common
      sudo_user:
      path: /srv/worker
      hosts: {web1: , "[::1]:2200": {user: you}}
  staging:
    web: {hosts: "%(app_name)s-staging"}
"""


def targets(path: Path, stage: str = "production", role: str | None = None, **flags: Any) -> list[Target]:
    file, options = run.load(path, flags)
    return config.targets(file, stage, role, flags, options)


def test_host_over_role_over_stage_over_top(deploy_yml: Write) -> None:
    found = {str(target.place): target for target in targets(deploy_yml(SHOP))}
    assert {
        label: (t.settings.user, t.settings.sudo_user, t.settings.keep_releases, t.settings.port, t.address)
        for label, t in found.items()
    } == {
        "web1 (web)": ("ops", "apps", 3, 0, "web1"),
        "web2 (web)": ("ops", "apps", 2, 0, "web2"),
        "web3:2222 (web)": ("root", "apps", 3, 2222, "web3"),
        "web1 (worker)": ("ops", "apps", 3, 0, "web1"),
        "[::1]:2200 (worker)": ("you", "apps", 3, 2200, "::1"),
    }
    assert found["web1 (web)"].settings.environment == {"WHERE": "production"}
    assert found["web2 (web)"].settings.environment == {"WHERE": "rack"}
    assert [t.host for t in targets(deploy_yml(SHOP), "staging")] == ["shop-staging"]


@pytest.mark.parametrize(
    ("label", "key", "line"),
    [
        ("web2 (web)", "keep_releases", "deploy.yml, line 17"),
        ("web2 (web)", "environment.WHERE", "deploy.yml, line 17"),
        ("web1 (web)", "keep_releases", "deploy.yml, line 4"),
        ("web1 (web)", "user", "deploy.yml, line 12"),
        ("web1 (web)", "hosts", "deploy.yml, line 15"),
        ("web1 (worker)", "path", "deploy.yml, line 22"),
        ("web1 (worker)", "use_ssh_config", "default"),
        ("web1 (web)", "show_output", "--show-output"),
    ],
)
def test_each_value_knows_where_it_was_said(label: str, key: str, line: str, deploy_yml: Write) -> None:
    found = {str(target.place): target for target in targets(deploy_yml(SHOP), show_output="true")}
    assert found[label].origins[key].endswith(line)


@pytest.mark.parametrize(
    ("role", "words", "expected"),
    [
        (None, ["web1"], ["web1 (web)", "web1 (worker)"]),
        (None, ["web3"], ["web3:2222 (web)"]),
        (None, ["web3:2222"], ["web3:2222 (web)"]),
        (None, ["web*"], ["web1 (web)", "web2 (web)", "web3:2222 (web)", "web1 (worker)"]),
        ("web", ["web[12]"], ["web1 (web)", "web2 (web)"]),
        ("web", ["web2", "web1"], ["web1 (web)", "web2 (web)"]),
        ("web", ["new1", "me@new2", "new1"], ["new1 (web)", "new2 (web)"]),
    ],
)
def test_hosts_are_chosen_among_those_of_the_file_or_are_new(
    role: str | None, words: list[str], expected: list[str], deploy_yml: Write
) -> None:
    found = targets(deploy_yml(SHOP), role=role, hosts=words)
    assert [str(target.place) for target in found] == expected
    values = {str(target.place): target.settings.keep_releases for target in found}
    assert values.get("web2 (web)", 2) == 2  # what is chosen keeps its own values


@pytest.mark.parametrize(
    ("role", "words", "said"),
    [
        (None, ["new1"], "production (web, worker) has no host 'new1'"),
        ("web", ["web1", "new1"], "production (web) has no host 'new1'"),
        ("web", ["db*"], "production (web) has no host 'db*'"),
    ],
)
def test_hosts_that_could_mean_two_things_are_refused(
    role: str | None, words: list[str], said: str, deploy_yml: Write
) -> None:
    with pytest.raises(ConfigError) as refused:
        targets(deploy_yml(SHOP), role=role, hosts=words)
    assert said in refused.value.message
    assert "choose from: web1, web2, web3:2222" in refused.value.hint


WRONG = """\
app_nam: shop
keep_releases: many
x-web: &web {linked_files: [a, 5], keep_releases: 0}
environment:
  A: {envv: y}
  B: 0777
  C: {env: X, file: y}
  D: on
  E-F: x
stage_role_configs:
  production:
    usr: me
    web:
      <<: *web
      hosts: [web1, {web2: {port: x, batch: 1, prot: 3}}]
    worker: {hosts: {w1: {user: [me]}, "-x": }, conection: ssh, connection: telnet}
    cron: {keep_releases: 4, port: 70000}
"""


def test_all_that_is_wrong_is_told_at_once_whatever_was_asked_for(deploy_yml: Write) -> None:
    with pytest.raises(ConfigError) as refused:
        run.load(deploy_yml(WRONG), {"keep_release": "3"})
    told = [line.rpartition("deploy.yml, ")[2] for line in refused.value.message.splitlines()]
    for expected in (
        "command line: unknown flag 'keep-release' (did you mean 'keep-releases'?)",
        "line 1: unknown key 'app_nam' (did you mean 'app_name'?)",
        "line 2: keep_releases: 'many' is not a whole number (",
        "line 3: keep_releases: 0 is too few (keep at least 1)",
        "line 3: linked_files.1: Expected `str`, got `int` (",
        "line 5: environment.A: Object contains unknown field `envv` (",
        "line 12: usr has no settings (did you mean 'user'? A role of production is written as",
        "line 15: port: 'x' is not a whole number (",
        "line 15: batch must be the same on all hosts of a role (set it for the role)",
        "line 15: unknown key 'prot' (did you mean 'port'?)",
        "line 16: unknown key 'conection' (did you mean 'connection'?)",
        "line 16: connection: 'telnet' is not one of: ssh, openssh, local (",
        "line 16: '-x' is not a valid host (",
        "line 17: port: 70000 is not a valid port (",
    ):
        assert any(line.startswith(expected) for line in told), (expected, told)
    assert "fix these" in refused.value.hint


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0777", "A: YAML reads 0777 as 511"),
        ("on", "A: YAML reads on as true"),
        ("1.10", "A: YAML reads 1.10 as 1.1"),
        ("1:30", "A: YAML reads 1:30 as 90"),
        ("", "environment.A: Expected"),
        ("2026-01-01", "environment.A: Expected"),
        ("{env: X, file: y}", "A has 2 sources for its value"),
        ("{}", "A has 0 sources"),
        ("{env: X, key: y}", "`key` needs a `secret`"),
        ("{command: pass show x}", "environment.A: Expected `array`"),
        ('"a\\0b"', "A contains a NUL character"),
    ],
)
def test_values_of_variables_that_can_not_be_meant(value: str, said: str, deploy_yml: Write) -> None:
    with pytest.raises(ConfigError) as refused:
        run.load(deploy_yml(f"app_name: shop\nenvironment:\n  A: {value}\n"), {})
    assert said in refused.value.message
    assert refused.value.hint


def test_plain_numbers_and_true_are_taken_as_written(deploy_yml: Write) -> None:
    text = "app_name: shop\nconnection: local\nenvironment: {A: 7, B: true, C: False, D: -1.5, E: '0777'}\n"
    (target,) = targets(deploy_yml(text + "stage_role_configs: {here: {web: }}\n"), "here")
    assert target.settings.environment == {"A": 7, "B": True, "C": False, "D": -1.5, "E": "0777"}


def test_names_that_no_key_has_are_told(deploy_yml: Write) -> None:
    text = SHOP + 'environment: {A: "%(stag)s", B: "50%", C: "%(release_path)s"}\nx-a: "%(mine)s"\n'
    file, options = run.load(deploy_yml(text), {})
    (told,) = config.unknown_names(file, options)
    assert "line 26: %(stag)s is not a key, so it is left as it is; did you mean %(stage)s?" in told


def test_a_plugin_of_a_role_or_a_command_brings_its_keys(deploy_yml: Write) -> None:
    text = "app_name: shop\nfail_at: published\nstage_role_configs:\n  here:\n    web:\n      hosts: [a]\n"
    with pytest.raises(ConfigError, match="unknown key 'fail_at'"):
        run.load(deploy_yml(text), {})
    (target,) = targets(deploy_yml(f"{text}      rollback_plugins: [tests.parts.plugins]\n"), "here")
    assert target.plugin_values["fail_at"] == "published"
    run.load(deploy_yml(text), {"plugins": ["tests.parts.plugins"]})


def test_a_mapping_below_a_stage_is_a_role_also_if_it_is_called_like_a_key(deploy_yml: Write) -> None:
    text = "app_name: shop\nstage_role_configs:\n  here:\n    user: {hosts: [a], user: me}\n    port: 22\n"
    (target,) = targets(deploy_yml(text), "here")
    assert (target.settings.role, target.settings.user, target.settings.port) == ("user", "me", 22)

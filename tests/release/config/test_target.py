"""From deploy.yml and flags to targets: layers, kinds, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest

from faprelease.config import target as config
from faprelease.config.target import VERBS, Target
from faprelease.errors import ConfigError
from faprelease.run import run
from tests.release.conftest import Write

WEB = "app_name: shop\nstage_role_configs:\n  production:\n    web: {hosts: [web1]}\n"


def load(path: Path, stage: str = "production", role: str | None = "web", **flags: Any) -> list[Target]:
    file, options = run.load(path, flags)
    return config.targets(file, stage, role, flags, options)


def refused(path: Path, stage: str = "production", role: str | None = "web", **flags: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path, stage, role, **flags)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value


LAYERS = """\
app_name: shop
keep_releases: 4
user: top
stage_role_configs:
  production:
    web: {hosts: [web1], user: web}
    worker: {hosts: [web1], path: "/srv/%(app_name)s-%(role)s", keep_releases: 2}
  staging:
    web: {hosts: [web9], app_name: "shop-%(stage)s"}
"""


@pytest.mark.parametrize(
    ("stage", "role", "flags", "expected"),
    [
        (
            "production",
            "web",
            {},
            {"user": "web", "keep_releases": 4, "sudo_user": "deploy"},
        ),
        ("production", "worker", {}, {"user": "top", "keep_releases": 2, "path": "/srv/shop-worker"}),
        ("production", "web", {"user": "me", "keep_releases": "9"}, {"user": "me", "keep_releases": 9}),
        ("staging", "web", {}, {"app_name": "shop-staging", "path": "/home/deploy/www/shop-staging"}),
        (
            "production",
            "web",
            {"sudo_user": "x"},
            {"shared_path": "/home/x/www/shop/shared"},
        ),
        ("production", "web", {"app_name": "%(role)s"}, {"path": "/home/deploy/www/%(role)s"}),
        ("production", "web", {"shared_writable": "no"}, {"shared_writable": False}),
        ("production", "web", {"hosts": ["a", "b"]}, {"hosts": ["a", "b"]}),
        ("production", "web", {}, {"stage": "production", "role": "web", "project_name": "shop"}),
    ],
)
def test_flag_over_stage_role_over_top_over_default(
    stage: str, role: str, flags: dict[str, Any], expected: dict[str, Any], deploy_yml: Write
) -> None:
    if flags.get("shared_writable"):
        flags = {"shared_writable": "false"}
    settings = load(deploy_yml(LAYERS), stage, role, **flags)[0].settings
    assert {key: getattr(settings, key) for key in expected} == expected


def test_a_stage_is_all_its_roles_in_the_files_order(deploy_yml: Write) -> None:
    targets = load(deploy_yml(LAYERS), role=None)
    assert [str(target.place) for target in targets] == ["web1 (web)", "web1 (worker)"]


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("linked_fils: []", "line 5: unknown key 'linked_fils'", "did you mean 'linked_files'?"),
        ("curl_urll: x", "line 5: unknown key 'curl_urll'", "did you mean 'curl_url'?"),
        ("stage: production", "line 5: unknown key 'stage'", ""),
        ("8080: x", "line 5: unknown key '8080'", ""),
        ("keep_releases: many", "keep_releases", ""),
        ("keep_releases: 0", "keep_releases: 0 is too few", "keep at least 1"),
        ("path: srv/shop", "'srv/shop' is not an absolute path", "start it with /"),
        ("current_path: current", "'current' is not an absolute path", "start it with /"),
        ('path: "/srv/a\\nb"', "is not an absolute path", ""),
        ("linked_files: [/etc/passwd]", "'/etc/passwd' can't be linked", "inside shared/"),
        ("linked_files: ../x", "'../x' can't be linked", "inside shared/"),
        ("linked_dirs: [a/../../b]", "can't be linked", "inside shared/"),
        ("linked_files: ['']", "'' can't be linked", ""),
        ("environment_file: /etc/shop.env", "'/etc/shop.env' is not a file in the release", "e: .env;"),
        ("environment_file: '%(shared_path)s/.env'", "shared/.env' is not a file in the release", "/.env"),
        ("environment_file: '%(release_path)s/../env'", "is not a file in the release", ""),
        ("linked_files: {a: b}", "linked_files", ""),
        ("plugins: 5", "the plugin '5'", ""),
        ("plugins: [5]", "the plugin '5'", ""),
        ("environment: [A=1]", "environment", ""),
        ("environment: {A: [1]}", "environment", ""),
        ("connection: telnet", "connection", ""),
        ("hosts: 7", "hosts", ""),
        ("app_name: [shop]", "app_name", ""),
        ("dry_run: perhaps", "dry_run", ""),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(line: str, said: str, hint: str, deploy_yml: Write) -> None:
    text = WEB + line + "\n"
    if line.startswith("app_name"):
        text = text.removeprefix("app_name: shop\n")
    if line.startswith("hosts"):
        text = text.replace("hosts: [web1]", "")
    error = refused(deploy_yml(text))
    assert said in error.message
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("app_name: shop\n", "has no stages"),
        ("app_name: shop\nstage_role_configs: 5\n", "is not a mapping"),
        ("app_name: shop\nstage_role_configs: {production: web}\n", "stage production has no roles"),
        ("app_name: shop\nstage_role_configs: {production: {web: here}}\n", "has no settings"),
        ("app_name: shop\nstage_role_configs: {production: {web: }}\n", "production web has no hosts"),
        ("stage_role_configs: {production: {web: {hosts: [a]}}}\n", "has no app_name"),
        ("app_name: shop\nstage_role_configs: {production: {web: {1: x, hosts: [a]}}}\n", "unknown key '1'"),
        (WEB.replace("hosts:", "host:"), "line 4: unknown key 'host'"),
    ],
)
def test_a_file_that_is_not_whole_is_refused(text: str, said: str, deploy_yml: Write) -> None:
    assert said in refused(deploy_yml(text)).message


def test_unknown_stage_role_and_flag_name_the_nearest(deploy_yml: Write) -> None:
    path = deploy_yml(WEB)
    assert refused(path, "prodction").hint == "did you mean 'production'?"
    assert refused(path, role="wep").hint == "did you mean 'web'?"
    error = refused(path, keep_release="3")
    assert "unknown flag 'keep-release'" in error.message
    assert error.hint == "did you mean 'keep-releases'?"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_stage_can_not_be_called_like_a_verb(verb: str, deploy_yml: Write) -> None:
    error = refused(deploy_yml(WEB + f"  {verb}:\n    web: {{hosts: [web1]}}\n"))
    assert re.search(rf"line 5: '{verb}' is a command", error.message)


@pytest.mark.parametrize("path", ["/srv/shop", "/srv/shop/", "/srv/./shop", "/srv//shop"])
def test_two_roles_in_one_folder_on_one_host_are_refused(path: str, deploy_yml: Write) -> None:
    text = f"""\
app_name: shop
path: /srv/shop
stage_role_configs:
  production:
    web: {{hosts: [web1, web2]}}
    worker: {{hosts: [web2], path: {path}}}
    cron: {{hosts: [web3]}}
"""
    file = deploy_yml(text)
    error = refused(file, role=None)
    assert "roles web and worker share /srv/shop on web2" in error.message
    assert "%(app_name)s-%(role)s" in error.hint
    assert len(load(file, role="worker")) == 1


def test_a_host_named_twice_is_one_target(deploy_yml: Write) -> None:
    assert [target.host for target in load(deploy_yml(WEB), hosts=["a", "b", "a"])] == ["a", "b"]


def test_local_needs_no_hosts(deploy_yml: Write) -> None:
    path = deploy_yml("app_name: shop\nconnection: local\nstage_role_configs: {here: {web: {}}}\n")
    assert [target.host for target in load(path, "here")] == ["localhost"]


def test_a_plugin_that_is_not_there_is_refused_with_its_line(deploy_yml: Write) -> None:
    error = refused(deploy_yml(WEB + "plugins: [supervisorctl, no_such_plugin]\n"))
    assert "line 5: can't load the plugin 'no_such_plugin'" in error.message

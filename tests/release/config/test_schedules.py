"""Schedules in deploy.yml: what is refused there, which host runs them, and what becomes of them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from faprelease.config import target as config
from faprelease.config.target import Target
from faprelease.errors import ConfigError
from faprelease.plan.config_digest import config_digest
from faprelease.plugins import schedules, systemd
from faprelease.plugins.hooks import Context, Plugins
from faprelease.run import run
from faprelease.steps.host_files import read_host_file, read_program
from tests.release.conftest import Write

NIGHTLY = {"nightly": {"command": "manage.py clearsessions", "at": "0 3 * * *"}}


def text_of(role: dict[str, Any] | None = None, **top: Any) -> str:
    web = {"hosts": ["web1", {"web2": {"port": 2222}}], **(role or {})}
    return json.dumps(
        {"app_name": "shop", "schedules": NIGHTLY, **top, "stage_role_configs": {"production": {"web": web}}}
    )


def load(path: Path, **flags: Any) -> list[Target]:
    file, options = run.load(path, flags)
    return config.targets(file, "production", None, flags, options)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"schedules": {"nightly": {"command": "x"}}}, "missing required field `at`"),
        ({"schedules": {"nightly": {"at": "@daily"}}}, "missing required field `command`"),
        ({"schedules": {"nightly": {"command": "x", "at": "@daily", "tz": "UTC"}}}, "unknown field `tz`"),
        ({"schedules": {"nightly": "x"}}, "schedules.nightly: Expected `object`, got `str`"),
        ({"schedules": {"a b": {"command": "x", "at": "@daily"}}}, "'a b' is not a valid name"),
        ({"schedules": {"../x": {"command": "x", "at": "@daily"}}}, "'../x' is not a valid name"),
        ({"schedules": {"-f": {"command": "x", "at": "@daily"}}}, "'-f' is not a valid name"),
        ({"schedules": {"x%i": {"command": "x", "at": "@daily"}}}, "'x%i' is not a valid name"),
        ({"schedules": {"é": {"command": "x", "at": "@daily"}}}, "'é' is not a valid name"),
        ({"schedules": {"x" * 41: {"command": "x", "at": "@daily"}}}, "is not a valid name"),
        ({"schedules": {"x": {"command": " ", "at": "@daily"}}}, "command is empty or not one line"),
        (
            {"schedules": {"x": {"command": "a\n* * * * * b", "at": "@daily"}}},
            "command is empty or not one line",
        ),
        ({"schedules": {"x": {"command": "a", "at": "@reboot"}}}, "x: at: '@reboot' is not a time"),
        ({"schedules": {"x": {"command": "a", "at": "99 * * * *"}}}, "x: at: '99 * * * *' is not a time"),
        ({"timezone": "Mars/Olympus"}, "'Mars/Olympus' is not a time zone"),
        ({"timezone": "../../etc/passwd"}, "'../../etc/passwd' is not a time zone"),
        ({"timezone": ""}, "'' is not a time zone"),
        ({"manager": "converge"}, "so no single host can be chosen"),
    ],
)
def test_what_can_not_be_a_schedule_is_refused(deploy_yml: Write, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(deploy_yml(text_of(**keys)))
    assert message in refused.value.message
    assert refused.value.hint


def running(targets: list[Target]) -> dict[str, bool]:
    return {target.host: bool(target.schedules) for target in targets}


def test_one_host_of_a_role_runs_them_whichever_hosts_are_chosen(deploy_yml: Write) -> None:
    path = deploy_yml(text_of())
    assert running(load(path)) == {"web1": True, "web2": False}
    assert running(load(path, hosts=["web2"])) == {"web2": False}
    assert running(load(path, hosts=["elsewhere"])) == {"elsewhere": False}
    path = deploy_yml(text_of({"schedules_host": "web2"}))
    assert running(load(path)) == {"web1": False, "web2": True}
    assert running(load(deploy_yml(text_of({"hosts": []})), hosts=["new"])) == {"new": True}
    with pytest.raises(ConfigError, match="schedules_host: 'web9' is not a host of this role"):
        load(deploy_yml(text_of({"schedules_host": "web9"})))
    with pytest.raises(ConfigError, match="schedules must be the same on all hosts of a role"):
        load(deploy_yml(text_of({"hosts": [{"web1": {"schedules": NIGHTLY}}]})))


def test_a_role_of_an_old_file_may_be_called_schedules(deploy_yml: Write) -> None:
    path = deploy_yml(
        "app_name: shop\nstage_role_configs:\n  production:\n    schedules: {hosts: [cron1], user: cron}\n"
    )
    (target,) = load(path)
    assert (target.place, target.settings.user, target.schedules) == (("cron1", "schedules"), "cron", {})


def test_a_host_that_runs_them_has_another_configuration(deploy_yml: Write) -> None:
    targets = config.with_environment(load(deploy_yml(text_of())), run.load(deploy_yml(text_of()), {})[0])
    later = config.with_environment(
        load(deploy_yml(text_of(timezone="Asia/Tokyo"))), run.load(deploy_yml(text_of()), {})[0]
    )
    digests = [config_digest(target, Plugins({}), "00" * 32) for target in (*targets, *later)]
    assert digests[1] == digests[3]
    assert len(set(digests)) == 3


def written(target: Target) -> str:
    context = Context(target, "release", target.layout.release("261130-000000"), "")
    (step,) = schedules.deploy_updated(context)
    assert isinstance(step.stdin, str)
    return step.stdin


def test_no_name_or_path_can_add_a_line_or_a_specifier(deploy_yml: Write) -> None:
    keys = {"plugins": ["systemd"], "systemd_user": True, "app_name": "a+b c", "path": "/srv/50% off"}
    text = written(load(deploy_yml(text_of(**keys)))[0])
    assert "WorkingDirectory=/srv/50%% off/current\n" in text
    assert "Description=a+b c: nightly (production web)\n" in text
    assert "==> .fap/schedules/user/a_b_c-production-web-nightly.timer\n" in text
    with pytest.raises(ConfigError, match="a crontab can't name /srv/50% off/current"):
        written(load(deploy_yml(text_of(path="/srv/50% off")))[0])
    crontab = written(load(deploy_yml(text_of(path="/srv/it's")))[0])
    assert (
        "\n0 3 * * * cd '/srv/it'\"'\"'s/current' && exec /bin/sh .fap/schedules/run nightly log\n" in crontab
    )
    long = text_of(plugins=["systemd"], app_name="a" * 99).replace('"web"', f'"{"r" * 99}"')
    with pytest.raises(ConfigError, match="is too long for the name of a unit"):
        written(load(deploy_yml(long))[0])


def test_a_host_without_cron_is_refused(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    text = "".join(f"\n#### {name}\n{read_program(name)}" for name in ("schedules", *systemd.PROGRAM))
    words = ["ask", "mark=# From x", "scope=crontab", "units=", "events=", "zone=UTC", "owner="]
    done = subprocess.run(
        ["python3", "-I", "-S", "-c", read_host_file("programs/start.py"), "", "0" * 64, "schedules", *words],
        input=f"{text}\n#### input\n",
        env={**os.environ, "PATH": str(tmp_path), "TZ": "UTC"},
        executable=sys.executable,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (
        1,
        "this host has no crontab command: sudo apt-get install cron\n",
    )

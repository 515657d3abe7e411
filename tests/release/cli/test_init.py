"""`faprelease init` writes a deploy.yml that a release reads, asks only at a terminal, overwrites nothing."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from faprelease.config import starter
from faprelease.config.starter import Answers
from faprelease.errors import ConfigError

SETTINGS = '[project]\nname = "My_Shop"\nversion = "1"\n[tool.fapbuild]\n'
PROCFILE = "# all of it\nweb: gunicorn shop.wsgi\nworker: python worker.py\nnightly: python nightly.py 100%\n"
GIVEN = {"host": "web1", "user": "deploy", "manager": "supervisor", "store": "s3://artifacts"}


def init(folder: Path, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(folder.parent)}
    argv = [Path(sys.executable).with_name("faprelease"), "init", *words]
    return subprocess.run(argv, cwd=folder, env=env, stdin=stdin, capture_output=True, text=True)


def options(**other: str) -> list[str]:
    return [word for name, value in {**GIVEN, **other}.items() if value for word in (f"--{name}", value)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "shop"
    made.mkdir()
    (made / "pyproject.toml").write_text(SETTINGS)
    (made / "Procfile").write_text(PROCFILE)
    return made


def test_it_writes_deploy_yml_its_schema_and_lines_of_gitignore(folder: Path) -> None:
    (folder / ".gitignore").write_text("*.pyc\n/dist")
    done = init(folder, *options(), "--schedule", "nightly", "0 3 * * *", "--host", "web2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["deploy.yml", "deploy.schema.json", ".gitignore"]
    text = (folder / "deploy.yml").read_text()
    assert text.startswith("# yaml-language-server: $schema=deploy.schema.json\n")
    assert yaml.safe_load(text) == {
        "app_name": "my-shop",
        "user": "deploy",
        "store": "s3://artifacts",
        "plugins": ["curl", "supervisorctl", "healthcheck"],
        "processes": {"web": 1, "worker": 1},
        "handover": "beside",
        "healthcheck_path": "/",
        "schedules": {"nightly": {"command": "python nightly.py 100%%", "at": "0 3 * * *"}},
        "stage_role_configs": {"production": {"web": {"hosts": ["web1", "web2"]}}},
    }
    assert json.loads((folder / "deploy.schema.json").read_text())["properties"]["app_name"]
    assert (folder / ".gitignore").read_text() == "*.pyc\n/dist\n.env\n"
    assert len([line for line in done.stderr.splitlines() if line.startswith("  ")]) == 5


def test_editors_can_check_the_file_by_its_schema(folder: Path) -> None:
    assert init(folder, *options(manager="systemd-user", user="ann")).returncode == 0
    check = [
        Path(sys.executable).with_name("check-jsonschema"),
        "--schemafile",
        "deploy.schema.json",
        "deploy.yml",
    ]
    done = subprocess.run(check, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    written = yaml.safe_load((folder / "deploy.yml").read_text())
    assert (written["sudo_user"], written["systemd_user"]) == ("ann", True)


@pytest.mark.parametrize("name", ["host", "user", "manager", "store"])
def test_without_a_terminal_it_names_the_missing_option(name: str, folder: Path) -> None:
    done = init(folder, *options(**{name: ""}))
    assert done.returncode == 2
    assert f"--{name} is missing" in done.stderr
    assert not (folder / "deploy.yml").exists()


def test_at_a_terminal_it_asks(folder: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"web1, web2\nann\nsystemd\ns3://artifacts\n")
        done = init(folder, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load((folder / "deploy.yml").read_text())
    assert written["stage_role_configs"]["production"]["web"]["hosts"] == ["web1", "web2"]
    assert (written["user"], written["plugins"]) == ("ann", ["curl", "systemd", "healthcheck"])


@pytest.mark.parametrize("name", ["deploy.yml", "deploy.schema.json"])
def test_it_overwrites_nothing(name: str, folder: Path) -> None:
    (folder / name).write_text("mine")
    done = init(folder, *options())
    assert done.returncode == 2
    assert f"{name} already exists" in done.stderr
    assert (folder / name).read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == sorted({"Procfile", "pyproject.toml", name})


@pytest.mark.parametrize(
    ("files", "more", "says"),
    [
        ({"pyproject.toml": '[project]\nname = "shop"\n'}, [], "run first: fapbuild init"),
        ({"pyproject.toml": "[project\n"}, [], "not valid TOML"),
        ({"Procfile": "# nothing\n"}, [], "no Procfile with a process"),
        ({"Procfile": "release: python manage.py migrate\n"}, [], "run all the time"),
        ({}, ["--store", "file:///srv/artifacts"], "can't read a folder"),
        ({}, ["--store", "s3://a b; rm"], "--store"),
        ({}, ["--stage", "plan"], "is a command"),
        ({}, ["--stage", "a: b"], "--stage"),
        ({}, ["--stage", "1"], "--stage"),
        ({}, ["--user", "ann\nx: y"], "--user"),
        ({}, ["--host", "web[1"], "web[1"),
        ({}, ["--schedule", "weekly", "0 3 * * *"], "no process weekly"),
        ({}, ["--schedule", "nightly", "at night"], "at night"),
    ],
)
def test_what_it_refuses(files: dict[str, str], more: list[str], says: str, folder: Path) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    done = init(folder, *options(), *more)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["Procfile", "pyproject.toml"]


def test_a_release_process_runs_before_a_release() -> None:
    answers = Answers(("web1",), "deploy", "systemd", "s3://artifacts")
    commands = starter.processes("release: python manage.py migrate\nworker: celery -A x worker\n")
    written = yaml.safe_load(starter.deploy_yml("shop", commands, answers))
    assert written["release_command"] == "python manage.py migrate"
    assert written["processes"] == {"worker": 1}
    assert "handover" not in written, "without a web process there is nothing to hand over"
    assert "healthcheck" not in written["plugins"]
    assert written["stage_role_configs"] == {"production": {"worker": {"hosts": ["web1"]}}}


@pytest.mark.parametrize("app", ["no", "123", "1e5", "0x1f", "null", "shop"])
def test_names_stay_text(app: str) -> None:
    answers = Answers((app, "1.2"), app, "systemd", "s3://artifacts")
    written = yaml.safe_load(starter.deploy_yml(app, {"web": "x: {y}  # z"}, answers))
    assert (written["app_name"], written["user"]) == (app, app)
    assert written["stage_role_configs"]["production"]["web"]["hosts"] == [app, "1.2"]


def test_no_procfile() -> None:
    with pytest.raises(ConfigError, match="no Procfile"):
        starter.processes("")

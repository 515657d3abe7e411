"""examples/engines: Ansible really brings hosts to what the store names; the other files have their form."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement

from artifact_store.core.actor import Actor
from artifact_store.store.store import Store, open_store
from tests.parts.fleet import Host, fleet
from tests.parts.repository import ROOT
from tests.parts.seaweed import seaweed
from tests.parts.site import INSTALL
from tests.parts.tgz import tgz

ENGINES = ROOT / "examples" / "engines"
SSM = {
    # AWS Systems Manager user guide, "Data elements and parameters": a Command document, schema version 2.2.
    "type": "object",
    "required": ["schemaVersion", "mainSteps"],
    "additionalProperties": False,
    "properties": {
        "schemaVersion": {"const": "2.2"},
        "description": {"type": "string"},
        "parameters": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["type"],
                "additionalProperties": False,
                "properties": {
                    "type": {"enum": ["String", "StringList", "Integer", "Boolean", "MapList", "StringMap"]},
                    "description": {"type": "string"},
                    "default": {},
                    "allowedValues": {"type": "array"},
                    "allowedPattern": {"type": "string", "format": "regex"},
                },
            },
        },
        "mainSteps": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["action", "name", "inputs"],
                "additionalProperties": False,
                "properties": {
                    "action": {"const": "aws:runShellScript"},
                    "name": {"type": "string", "pattern": "^[A-Za-z0-9_]+$"},
                    "precondition": {"const": {"StringEquals": ["platformType", "Linux"]}},
                    "inputs": {
                        "type": "object",
                        "required": ["runCommand"],
                        "additionalProperties": False,
                        "properties": {
                            "runCommand": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                            "timeoutSeconds": {"type": "string", "pattern": "^[0-9]+$"},
                            "workingDirectory": {"type": "string"},
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user may read."""
    with tempfile.TemporaryDirectory(prefix="fap-engines-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _install(folder: Path) -> None:
    """What fapkit with the extras release and s3 brings, from packages here that not all users may read."""
    seen: set[str] = set()
    wanted = [("fapkit", {"release", "s3"})]
    while wanted:
        name, extras = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        distribution = metadata.distribution(name)
        for file in distribution.files or ():
            if not str(file).startswith("..") and file.suffix != ".pyc":
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(Path(str(distribution.locate_file(file))), folder / file)
        for line in distribution.requires or ():
            needs = Requirement(line)
            marker = needs.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                wanted.append((needs.name, needs.extras))
    for package in ("artifact_store", "faprelease"):
        shutil.copytree(ROOT / package, folder / package)


def _give_command(host: Host, packages: Path, env: dict[str, str]) -> None:
    """`faprelease` on the deploy user's PATH; the variables stand for the role of an instance."""
    sets = "".join(f"os.environ[{key!r}] = {value!r}\n" for key, value in env.items())
    command = host.root / "bin/faprelease"
    command.parent.mkdir()
    command.write_text(
        f"#!/usr/bin/python3 -I\nimport os, sys\nsys.path.insert(0, {str(packages)!r})\n{sets}"
        "from faprelease.cli import command\ncommand()\n"
    )
    command.chmod(0o755)


def _promote(store: Store, folder: Path, version: str) -> None:
    files = {"app.py": f"VERSION = {version!r}\n".encode(), "install.sh": INSTALL}
    store.artifacts.publish(tgz(folder, version=version, files=files, wheels={}), by=Actor("ci"))
    store.stages.promote("shop", version, "production", by=Actor("ci"))


@pytest.mark.fleet
def test_ansible_converges_hosts_one_after_another_and_ends_at_the_first_that_fails(
    tmp_path: Path, public: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(public / "packages")
    with seaweed(tmp_path / "s3") as server, fleet(tmp_path / "fleet", 3) as hosts:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        server.make_bucket("artifacts")
        store = open_store("s3://artifacts")
        for host in hosts:
            _give_command(host, public / "packages", server.env)
        (tmp_path / "deploy.yml").write_text(
            "app_name: shop\nstore: s3://artifacts\nmanager: converge\n"
            "curl_postinstall_script: sh ./install.sh && ! grep -q 2 app.py\n"
            "stage_role_configs: {production: {web: {}}}\n"
        )
        common = f"-F {hosts[0].ssh_config}"
        lines = [f"{host.name} ansible_ssh_common_args='{common}'" for host in hosts]
        (tmp_path / "inventory").write_text("[web]\n" + "\n".join(lines) + "\n")
        _promote(store, tmp_path, "1")
        done = _play(tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        records = store.records.hosts("shop", "production", "web")
        assert [(each.host, each.version, each.outcome) for each in records] == [
            (f"web{number}", "1", "healthy") for number in (1, 2, 3)
        ]
        assert sorted(each.at for each in records) == [each.at for each in records], "one after another"
        _promote(store, tmp_path, "2")
        done = _play(tmp_path)
        assert done.returncode != 0
        records = store.records.hosts("shop", "production", "web")
        assert [(each.version, each.outcome) for each in records] == [
            ("2", "failed"),
            ("1", "healthy"),
            ("1", "healthy"),
        ]
        for host in hosts:
            assert host.run(["cat", "/home/deploy/www/shop/current/app.py"]).stdout == "VERSION = '1'\n"


def _play(folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOME": str(folder), "ANSIBLE_LOCAL_TEMP": f"{folder}/tmp", "ANSIBLE_NOCOLOR": "1"}
    # A path as long as those of this folder can't be a socket's.
    env |= {"ANSIBLE_SSH_ARGS": "-o ControlMaster=no"}
    env |= {"ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3", "ANSIBLE_PIPELINING": "1", "LC_ALL": "C.UTF-8"}
    words = ["-i", "inventory", "-e", f"deploy_yml={folder}/deploy.yml", "-e", '{"at_once": [1]}']
    ansible = Path(sys.executable).with_name("ansible-playbook")
    return subprocess.run(
        [ansible, *words, ENGINES / "converge.yml"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_the_ssm_document_has_the_form_of_one() -> None:
    document = yaml.safe_load((ENGINES / "ssm-document.yml").read_text())
    jsonschema.Draft202012Validator(SSM).validate(document)
    script = "\n".join(document["mainSteps"][0]["inputs"]["runCommand"])
    for name in document["parameters"]:
        assert f"'{{{{ {name} }}}}'" in script
    subprocess.run(["sh", "-n", "-c", script], check=True)


def test_cloud_init_and_the_timer(tmp_path: Path) -> None:
    text = (ENGINES / "cloud-init.yml").read_text()
    assert text.startswith("## template: jinja\n#cloud-config\n")
    config: dict[str, Any] = yaml.safe_load(text)
    files = {entry["path"]: entry["content"] for entry in config["write_files"]}
    for kind in ("service", "timer"):
        unit = f"fapkit-converge.{kind}"
        assert files[f"/etc/systemd/system/{unit}"].strip() == (ENGINES / unit).read_text().strip()
        there = (ENGINES / unit).read_text().replace("/opt/fapkit/bin/faprelease", "/bin/true")
        (tmp_path / unit).write_text(there)
    units = [tmp_path / f"fapkit-converge.{kind}" for kind in ("timer", "service")]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(isinstance(word, str) for command in config["runcmd"] for word in command)
    (tmp_path / "deploy.yml").write_text(files["/etc/fapkit/deploy.yml"])
    assert yaml.safe_load(files["/etc/fapkit/deploy.yml"])["manager"] == "converge"

"""Two deployments on one host: the second is refused before it changes anything of the first."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faprelease.errors import ConfigError, FapError
from faprelease.report.report import Report
from faprelease.run.run import Run
from faprelease.steps.model import host_script
from faprelease.verbs import release
from tests.parts.repository import ROOT
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = pytest.mark.supervisord

CONF = """\
[program:shop]
command=/bin/sh -c "exec sleep 1000"
directory={path}/current
startsecs=0
"""


RUN = (ROOT / "fapbuild/installer/run").read_bytes()
FILES = {
    ".fap/run": RUN,
    "install.sh": b"#!/bin/sh\nmkdir venv\nchmod +x .fap/run\n",
    "Procfile": b'web: exec python3 -m http.server "$PORT"\n',
}


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    """It also includes what is in `other/`, where faprelease does not look."""
    home = tmp_path_factory.mktemp("d")
    with supervisord_in(home, f"{home}/supervisor/conf.d/*.conf {home}/other/*.conf") as running:
        (home / "other").mkdir()
        yield running


@pytest.fixture
def first(tmp_path: Path, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A deployment that is live."""
    monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
    made = Site(tmp_path / "first")
    made.folder.mkdir()
    configure(made, supervisord, "shop")
    release_to(made)
    yield made
    supervisord.ctl("stop", "all")
    for path in (*supervisord.conf_d.iterdir(), *(supervisord.folder.parent / "other").iterdir()):
        path.unlink()
    supervisord.ctl("update")


@pytest.fixture
def second(tmp_path: Path, first: Site) -> Site:
    made = Site(tmp_path / "second")
    made.folder.mkdir()
    return made


def configure(site: Site, supervisord: Supervisord, target: str, **more: Any) -> None:
    lines = "".join(f"{key}: {value}\n" for key, value in more.items())
    site.configure(
        f"plugins: [supervisorctl]\nprocess_seconds: 0\n{lines}"
        f"supervisor_target: {supervisord.conf_d}/{target}.conf"
    )


def release_to(site: Site, conf: str = CONF, **flags: Any) -> str:
    files = {"configs/supervisor_production_web.conf": conf.format(path=site.path).encode()}
    return site.release(artifact(site.folder / "1", "1", files), **flags)


def runs_from(supervisord: Supervisord, name: str = "shop") -> str:
    pid = supervisord.ctl("pid", name).stdout.strip()
    return str(Path(f"/proc/{pid}/cwd").readlink()) if pid.isdigit() and pid != "0" else ""


def test_another_stage_in_the_same_folder_is_refused(first: Site, supervisord: Supervisord) -> None:
    before = runs_from(supervisord)
    text = first.deploy_yml.read_text()
    first.deploy_yml.write_text(
        text.replace("production: {web: {}}", "production: {web: {}}, staging: {web: {}}")
    )
    url = artifact(first.folder / "2", "2")
    staging = replace(first.request(curl_url=url), stage="staging")
    for dry in (True, False):
        with pytest.raises(ConfigError) as refused:
            release.release(replace(staging, dry_run=dry), Report())
        assert refused.value.message == (
            f"localhost (web): {first.path} belongs to shop production web, not to shop staging web"
        )
        assert f'path: "{first.path}-%(stage)s-%(role)s"' in refused.value.hint
        assert "--take-over" in refused.value.hint
    assert (runs_from(supervisord), first.version()) == (before, "1")
    with pytest.raises(FapError, match="is not in the release"):
        release.release(replace(staging, take_over=True), Report())


def free_ports() -> tuple[int, int]:
    """Two free ports, the second one 1000 higher."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = int(server.getsockname()[1])
        try:
            with socket.create_server(("127.0.0.1", port + 1000)):
                return port, port + 1000
        except (OSError, OverflowError):
            continue


@pytest.mark.parametrize("per_stage", ["", "/%(stage)s"], ids=["all defaults", "a path for each stage"])
def test_the_printed_lines_are_enough_for_a_second_stage(
    first: Site, second: Site, supervisord: Supervisord, per_stage: str
) -> None:
    """Staging and production of one app, in one deploy.yml, on one host."""
    port, next_port = free_ports()
    more = {"supervisor_program": "two", "processes": "{web: 1}", "process_port": port}
    configure(second, supervisord, "two", **more)
    text = second.deploy_yml.read_text().replace(f"path: {second.path}", f"path: {second.path}{per_stage}")
    head = text[: text.index("stage_role_configs")]
    web: dict[str, str] = {}

    def write() -> None:
        stages = {"production": {"web": {}}, "staging": {"web": web}}
        second.deploy_yml.write_text(f"{head}stage_role_configs: {json.dumps(stages)}\n")

    write()
    url = artifact(second.folder / "1", "1", FILES)
    production = second.request(curl_url=url)
    staging = replace(production, stage="staging")
    release.release(production, Report())
    with pytest.raises(FapError) as refused:
        release.release(staging, Report())
    before, _, lines = refused.value.hint.partition("stage_role_configs:\n  staging:\n    web:\n")
    assert before == "give this stage and role names of their own in deploy.yml:\n"
    web |= {
        key.strip(): value.strip('"')
        for key, colon, value in (line.partition(": ") for line in lines.split("\n"))
        if key.startswith("      ")
    }
    if per_stage:  # only the program was taken; the port would be the next to be refused
        web |= {"process_port": str(next_port)}
    write()
    release.release(staging, Report())
    ours = f"{second.path}/staging" if per_stage else f"{second.path}-staging-web"
    name = f"shop_staging_web:shop_staging_web-web-{next_port}"
    assert runs_from(supervisord, name).startswith(f"{ours}/releases/")
    theirs = f"{second.path}{per_stage.replace('%(stage)s', 'production')}"
    assert runs_from(supervisord, f"two:two-web-{port}").startswith(f"{theirs}/releases/")


def test_another_role_in_the_same_folder_is_refused(first: Site) -> None:
    first.deploy_yml.write_text(first.deploy_yml.read_text().replace("{web: {}}", "{worker: {}}"))
    with pytest.raises(ConfigError, match="belongs to shop production web, not to shop production worker"):
        release.rollback(replace(first.request(), role="worker"), Report())


@pytest.mark.parametrize("dry", [True, False])
def test_a_second_deployment_does_not_take_the_program_file_of_the_first(
    first: Site, second: Site, supervisord: Supervisord, dry: bool
) -> None:
    before, link = runs_from(supervisord), supervisord.conf_d / "shop.conf"
    configure(second, supervisord, "shop")
    with pytest.raises(FapError) as refused:
        release_to(second, dry_run=dry)
    assert f'supervisor_target: "{supervisord.conf_d}/%(supervisor_program)s.conf"' in refused.value.hint
    assert f"{link} belongs to another deployment: it links to {first.path}/current/" in refused.value.message
    assert 'supervisor_program: "%(app_name)s_%(stage)s_%(role)s"' in refused.value.hint
    assert f"rm {link}" in refused.value.hint
    assert runs_from(supervisord) == before
    assert not (second.path / "releases").exists()


def test_a_second_deployment_does_not_take_the_program_name_of_the_first(
    first: Site, second: Site, supervisord: Supervisord
) -> None:
    before = runs_from(supervisord)
    configure(second, supervisord, "shop2", supervisor_program="shop")
    with pytest.raises(FapError, match=r"the program shop of .*/shop\.conf belongs to another deployment"):
        release_to(second)
    assert runs_from(supervisord) == before
    configure(second, supervisord, "shop2", supervisor_program="shop2")
    release_to(second, CONF.replace("program:shop", "program:shop2"))
    assert runs_from(supervisord) == before
    assert runs_from(supervisord, "shop2").startswith(f"{second.path}/releases/")


def test_a_program_from_a_file_elsewhere_is_seen_too(
    first: Site, second: Site, supervisord: Supervisord
) -> None:
    link = supervisord.conf_d / "shop.conf"
    link.rename(supervisord.folder.parent / "other/shop.conf")
    before = runs_from(supervisord)
    assert before
    configure(second, supervisord, "zzz", supervisor_program="shop")
    with pytest.raises(FapError, match="supervisord runs a program shop already, which is not from"):
        release_to(second)
    assert runs_from(supervisord) == before


def test_the_undo_of_a_first_release_stops_only_what_it_started(
    first: Site, second: Site, supervisord: Supervisord
) -> None:
    before = runs_from(supervisord)
    step = host_script(
        "remove",
        "supervisor/remove",
        program="shop",
        conf=f"{second.path}/current/configs/supervisor_production_web.conf",
        rendered=f"{second.path}/current/.fap/supervisor.conf",
        target=f"{supervisord.conf_d}/shop2.conf",
    )
    subprocess.run(["sh", "-c", step.script], check=True)
    assert runs_from(supervisord) == before


def test_the_same_folder_may_be_spelled_in_another_way(first: Site, supervisord: Supervisord) -> None:
    other = first.folder / "alias"
    other.symlink_to(first.path)
    first.deploy_yml.write_text(first.deploy_yml.read_text().replace(f"path: {first.path}", f"path: {other}"))
    (supervisord.conf_d / "shop.conf.bak").write_text("[program:shop]\ncommand=/bin/true\n")
    release_to(first)
    assert runs_from(supervisord).startswith(f"{first.path}/releases/")


def test_what_an_administrator_or_a_removed_deployment_left_is_told_apart(
    first: Site, second: Site, supervisord: Supervisord
) -> None:
    configure(second, supervisord, "shop2", supervisor_program="shop2")
    conf, link = CONF.replace("program:shop", "program:shop2"), supervisord.conf_d / "shop2.conf"
    link.write_text("[program:shop2]\ncommand=/bin/true\n")
    with pytest.raises(FapError, match="is a file, and a release would replace it") as refused:
        release_to(second, conf)
    assert f"mv {link} {link}.old" in refused.value.hint
    link.rename(f"{link}.old")
    release_to(second, conf)
    assert runs_from(supervisord, "shop2").startswith(f"{second.path}/releases/")
    supervisord.ctl("stop", "shop2")
    link.unlink()
    link.symlink_to("/srv/removed/current/configs/supervisor.conf")
    release_to(second, conf)
    assert runs_from(supervisord, "shop2").startswith(f"{second.path}/releases/")


def test_a_port_that_something_else_has_is_seen_before_the_first_release(
    first: Site, second: Site, supervisord: Supervisord
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        more = {"processes": "{web: 1}", "process_port": port, "supervisor_program": "shop2"}
        configure(second, supervisord, "shop2", **more)
        with pytest.raises(FapError, match=f"port {port} is in use by process {os.getpid()} in ") as refused:
            release_to(second, dry_run=True)
        assert "process_port" in refused.value.hint


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, "supervisor_program: shop"),
        ({"supervisor_program": "%(role)s"}, "supervisor_target: /etc/supervisor/conf.d/x.conf"),
        (
            {
                "supervisor_program": "%(role)s",
                "supervisor_target": "/a/%(role)s.conf",
                "processes": {"web": 2},
            },
            "process_port: 8000",
        ),
        ({"plugins": ["systemd"]}, "systemd_unit: shop.service"),
    ],
)
def test_roles_on_one_host_have_names_of_their_own(tmp_path: Path, keys: dict[str, Any], name: str) -> None:
    """As docs' own example once had it: two folders, and one program."""
    values = {
        "app_name": "shop",
        "plugins": ["supervisorctl"],
        "supervisor_target": "/etc/supervisor/conf.d/x.conf",
        "stage_role_configs": {
            "production": {"web": {"hosts": ["web1"]}, "worker": {"hosts": ["web1"], "path": "/srv/worker"}}
        },
        **keys,
    }
    site = Site(tmp_path)
    site.deploy_yml.write_text(json.dumps(values))
    request = replace(site.request(), role=None)
    with pytest.raises(ConfigError) as refused:
        Run.of(request, "release", Report())
    assert refused.value.message == f"the roles web and worker on web1 have the same {name}"
    Run.of(replace(request, role="worker"), "release", Report())
    Run.of(request, "status", Report())

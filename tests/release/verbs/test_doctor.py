"""faprelease doctor, parity and hosts: what is told of real hosts, and that nothing is changed by it."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from artifact_store.artifact.peek import open_source, peek
from artifact_store.core.actor import Actor
from artifact_store.store.store import open_store
from faprelease.errors import ConfigError
from faprelease.hosts.state import parse
from faprelease.report.report import Report
from faprelease.run.run import Run
from faprelease.steps.place import Place
from faprelease.verbs.doctor import compare, doctor
from faprelease.views import endpoints, host_report
from faprelease.views.diagnosis import Case, InspectedHost, findings
from faprelease.views.endpoints import Upstream
from tests.parts.site import Site, artifact


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure("linked_files: [settings.toml]")
    (made.path / "shared").mkdir(parents=True)
    (made.path / "shared/settings.toml").write_text("x = 1\n")
    return made


def _found(site: Site) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for one in doctor(site.request()):
        assert one.fix or one.verdict == "right", one
        found.setdefault(one.check.split()[0], []).append((one.verdict, one.says))
    return found


def _tree(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_mtime_ns) for path in folder.rglob("*"))


@pytest.mark.slow
def test_what_is_well_and_what_is_not_of_a_live_release(site: Site) -> None:
    before = _found(site)
    assert before["VIII"] == [("wrong", "is in deploy.yml, but runs no release")]
    assert before["III"] == [("note", "every user can read settings.toml")]
    live = site.release(artifact(site.folder / "store", "1"))
    (site.path / "shared/settings.toml").chmod(0o640)
    tree = _tree(site.path)
    well = _found(site)
    assert _tree(site.path) == tree
    assert not site.locked()
    assert not [says for found in well.values() for verdict, says in found if verdict == "wrong"], well
    assert well["I"] == [("right", "1 is live")]
    assert well["III"] == [("right", "settings.toml: present, and not every user can read them")]
    assert ("right", "no file of the live release changed since its install") in well["VI"]
    assert well["VII"][0][0] == "note"
    release = site.path / "releases" / live
    release.chmod(0o755)
    (release / "app.py").chmod(0o644)
    (release / "app.py").write_text("VERSION = '1' # changed\n")
    (release / "web.log").write_text("")
    (site.path / "releases/260101-000000").mkdir()
    sleeper = subprocess.Popen(["sleep", "600"], cwd=site.path / "releases/260101-000000")
    try:
        with socket.create_server(("127.0.0.1", 0)) as other:
            gate = "plugins: [healthcheck]\nhealthcheck_seconds: 1\nhealthcheck_timeout: 1\n"
            site.configure(f"{gate}healthcheck_port: {other.getsockname()[1]}")
            ((verdict, held),) = _found(site)["VII"]
            assert verdict == "wrong"
            assert f"is held by process {os.getpid()}, which runs in" in held
            port = other.getsockname()[1]
        assert _found(site)["VII"] == [("wrong", f"nothing listens on port {port}")]
        ill = _found(site)
    finally:
        sleeper.kill()
        sleeper.wait()
    assert ("wrong", "2 files of the live release changed: app.py, web.log") in ill["VI"]
    stale = f"process {sleeper.pid} still runs from release 260101-000000, which is not live"
    assert ("note", stale) in ill["VI"]
    assert ill["XI"] == [("note", "log files are in the release: web.log")]
    assert ("note", "the live release is writable") in ill["V"]


def test_an_artifact_that_does_not_fit_the_hosts_is_told_before_it_is_released(site: Site) -> None:
    store = site.folder / "store"
    url = artifact(site.folder / "packed", "7", requires_env=("DATABASE_URL",))
    opened = open_store(store.as_uri())
    opened.artifacts.publish(Path(url.removeprefix("file://")), by=Actor("ann"))
    opened.stages.promote("shop", "7", "production", by=Actor("ann"))
    site.configure(f"store: {store.as_uri()}\nplugins: [curl]")
    found = _found(site)
    assert found["store"] == [("right", "shop 7 is promoted to production and readable")]
    assert ("wrong", "7 needs variables that are not set: DATABASE_URL") in found["III"]


def test_a_host_that_is_unfit_is_told_all_at_once(site: Site) -> None:
    url = artifact(site.folder / "packed", "7")
    with open_source(url) as source:
        wanted = peek(source).manifest
    needs = msgspec.structs.replace(wanted.target, python="cp311", platform="linux_x86_64", glibc="2.28")
    site.configure("protected: true")
    (target,) = Run.of(site.request(), "doctor", Report()).targets
    state = parse("free 9999999\ntool curl\ntool python3\ncurrent 260101-000000\nfolder 260101-000000\n")
    answer = (
        "time 1000\nmachine aarch64\nlibc glibc 2.17\npython 3.9.2\nlacks libpq.so.5\ninodes 5\n"
        'contained {"contained":"network","open":"files"}\nconf startsecs=1\nrestarted 3004 7\n'
        "readable_environment /x/.env\n"
    )
    inspected = InspectedHost(
        target=target,
        state=state,
        report=host_report.parse(answer),
        clock=(2000.0, 2001.0),
        wanted=msgspec.structs.replace(wanted, target=needs),
        health="no answer\nconnection refused",
    )
    found = findings(Case(hosts=(inspected,)), {Place("web2", "web"): "no route"})
    assert [one.says for one in found if one.verdict == "wrong"] == [
        "no route",
        "its clock and this machine's differ by 999 s",
        "only 5 inodes are free",
        "7 needs Python 3.11, but the host has 3.9.2",
        "7 is for linux_x86_64, but the host is aarch64",
        "7 needs glibc 2.28, but the host has 2.17",
        "7 needs libraries that are not installed: libpq.so.5",
        "every user can read the environment file",
        "the last install was not contained: files",
        "is unhealthy: connection refused",
    ]
    newer = msgspec.structs.replace(needs, least_python="3.11.3")
    older = replace(
        inspected,
        report=host_report.parse(answer.replace("3.9.2", "3.11.2")),
        wanted=msgspec.structs.replace(wanted, target=newer),
    )
    says = [one.says for one in findings(Case(hosts=(older,)), {})]
    assert "7 needs Python 3.11.3 or newer, but the host has 3.11.2" in says
    assert "fapbuild pack --target cp39-manylinux_2_17_aarch64" in " ".join(one.fix for one in found)
    assert [one.says for one in found if one.check == "IX disposability"] == [
        "took 31 s to stop at its last restart: it may ignore SIGTERM",
        "a stop may leave child processes running",
    ]


def test_hosts_that_do_not_answer_are_told_and_equal_findings_stand_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.deploy_yml.write_text(
        "app_name: shop\nuse_ssh_config: false\n"
        "stage_role_configs: {production: {web: {hosts: [127.0.0.1:1, 'localhost:1']}}}\n"
    )
    found = [one for one in doctor(site.request()) if one.check == "access"]
    assert {one.verdict for one in found} == {"wrong"}
    assert sorted(host for one in found for host in one.hosts) == ["127.0.0.1:1 (web)", "localhost:1 (web)"]


def test_stages_are_compared(site: Site) -> None:
    site.deploy_yml.write_text(
        "app_name: shop\nconnection: local\nplugins: [curl]\nstage_role_configs:\n"
        f"  staging:\n    web: {{path: {site.folder}/staging, linked_files: [staging.py], "
        "environment: {A: '1'}}\n"
        f"  production:\n    web: {{path: {site.folder}/www, linked_files: [production.py]}}\n"
    )
    found = {one.says: one.verdict for one in compare(site.request(), "staging")}
    assert found.pop("variables: production none, staging A") == "wrong"
    assert set(found.values()) == {"right"}
    assert "linked files: STAGE.py" in found


def test_balancers_get_the_hosts_from_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "deploy.yml").write_text(
        "app_name: my-shop\nplugins: [curl, healthcheck]\nstage_role_configs:\n  production:\n"
        "    web: {hosts: [app1, 'deploy@app2:2222', '2001:db8::1'], processes: {web: 2, worker: 1}}\n"
        "    api: {hosts: [app1], plugins: [healthcheck], healthcheck_port: 9000, path: /srv/api}\n"
    )

    def shown(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-c", "from faprelease.cli import main; main()", "hosts", *words]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)

    nginx = shown("production", "--format", "nginx")
    once = "max_fails=1 fail_timeout=1s"
    assert nginx.stdout == (
        f"upstream my_shop_web {{\n    server app1:8000 {once};\n    server app1:8001 {once};\n"
        f"    server app2:8000 {once};\n    server app2:8001 {once};\n"
        f"    server [2001:db8::1]:8000 {once};\n    server [2001:db8::1]:8001 {once};\n}}\n"
        f"upstream my_shop_api {{\n    server app1:9000 {once};\n}}\n"
    ), nginx.stderr
    found = [Upstream("my-shop", "production", "api", "app1", 9000)]
    assert endpoints.render(found, "haproxy") == (
        "backend my_shop_api\n    option redispatch 1\n"
        "    server app1-9000 app1:9000 check inter 1s fall 2 rise 1"
    )
    assert endpoints.render(found, "lines") == "app1:9000"
    assert json.loads(endpoints.render(found, "json"))[0]["port"] == 9000


def test_a_front_gets_the_sockets_of_its_own_host() -> None:
    def beside(host: str, path: str) -> list[Upstream]:
        names = ("web.sock", "web-2.sock")
        return [
            Upstream("shop", "production", "web", host, 0, f"{path}/run/{name}", "", True) for name in names
        ]

    same = [*beside("app1", "/srv/shop"), *beside("app2", "/srv/shop")]
    assert endpoints.render(same, "nginx").count("server unix:/srv/shop/run/web.sock max_fails=0;") == 1
    assert endpoints.render(same, "lines").splitlines()[3] == "app2 unix:/srv/shop/run/web-2.sock"
    fields = json.loads(endpoints.render(same, "json"))[0]
    assert (fields["socket"], "port" in fields) == ("/srv/shop/run/web.sock", False)
    with pytest.raises(ConfigError, match="in other places on app1 than on app2"):
        endpoints.render([*beside("app1", "/srv/shop"), *beside("app2", "/srv/other")], "haproxy")


def test_a_front_elsewhere_gets_the_addresses_that_hosts_listen_on(tmp_path: Path) -> None:
    def shown(listen: str, form: str) -> str:
        (tmp_path / "deploy.yml").write_text(
            "app_name: shop\nplugins: [curl, systemd]\nhandover: beside\nprocesses: {web: 2}\n"
            f"handover_listen: '{listen}'\n"
            "stage_role_configs: {production: {web: {hosts: [app1, app2]}}}\n"
        )
        argv = [sys.executable, "-c", "from faprelease.cli import main; main()", "hosts", "--format", form]
        done = subprocess.run(
            [*argv, "production"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert shown("0.0.0.0:8000", "lines").split() == ["app1:8000", "app1:8001", "app2:8000", "app2:8001"]
    caddy = shown("0.0.0.0:8000", "caddy")
    assert "reverse_proxy app1:8000 app1:8001 app2:8000 app2:8001 {" in caddy
    assert "keepalive off" in caddy  # the old processes still run behind the same ports
    nginx = shown("127.0.0.1:8000", "nginx")
    assert [line.split()[1] for line in nginx.splitlines()[1:-1]] == ["127.0.0.1:8000", "127.0.0.1:8001"]


@pytest.mark.parametrize(("plugins", "notes"), [("systemd", 1), ("systemd, healthcheck", 0)])
def test_sockets_are_not_missed_as_ports(plugins: str, notes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:  # its name is short enough for sockets
        Path(folder).chmod(0o755)
        site = Site(Path(folder))
        site.configure(f"plugins: [{plugins}]\nhandover: beside\nprocesses: {{web: 1}}\nsystemd_user: true")
        found = [one for one in doctor(site.request()) if one.check.startswith("VII ")]
    assert len(found) == notes
    assert all("no healthcheck" in one.says for one in found)

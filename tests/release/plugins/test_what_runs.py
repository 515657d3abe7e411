"""What a release is taken for: the processes that run, with which code and packages, and for how long."""

import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from faprelease.errors import RolledBackError
from tests.parts import prefork
from tests.parts.repository import ROOT
from tests.parts.site import Site, artifact
from tests.parts.supervisord import Supervisord, supervisord_in

pytestmark = [pytest.mark.supervisord, pytest.mark.slow]

RUN = (ROOT / "fapbuild/installer/run").read_bytes()
SERVER = Path(prefork.__file__).read_bytes()
SCRIPT = '#!/bin/sh\nexec "$(dirname -- "$(readlink -f -- "$0")")/python" prefork.py "$@"\n'
"""A script as fapbuild's installer makes them: it finds the Python beside itself."""


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisord]:
    with supervisord_in(tmp_path_factory.mktemp("supervisord")) as running:
        yield running


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def site(tmp_path: Path, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("PATH", f"{supervisord.bin}:{os.environ['PATH']}")
    made = Site(tmp_path)
    configure(made, supervisord)
    yield made
    supervisord.ctl("stop", "all")
    (supervisord.conf_d / "shop.conf").unlink(missing_ok=True)
    supervisord.ctl("update")


def configure(site: Site, supervisord: Supervisord, plugins: str = "supervisorctl", more: str = "") -> None:
    site.configure(f"plugins: [{plugins}]\nsupervisor_target: {supervisord.conf_d}/shop.conf\n{more}")


def build(
    site: Site,
    port: int,
    version: str,
    dep: str = "1",
    app: str = "",
    command: str = "",
    files: Mapping[str, bytes] | None = None,
) -> str:
    """An artifact with prefork.py and the package `dep`, which releases with the same lock share."""
    packages = site.folder / "envs" / dep
    packages.mkdir(parents=True, exist_ok=True)
    (packages / "dep.py").write_text(f"VERSION = 'dep-{dep}'\n")
    install = (
        f"#!/bin/sh\nset -eu\nmkdir -p venv/bin\nln -s {sys.executable} venv/bin/python\n"
        f"ln -s {packages} venv/packages\ncat >venv/bin/serve <<'.'\n{SCRIPT}.\nchmod +x venv/bin/serve\n"
    )
    command = command or f"{site.path}/current/venv/bin/serve {port}"
    conf = (
        f"[program:shop]\ncommand={command}\ndirectory={site.path}/current\nstopasgroup=true\n"
        f'killasgroup=true\nenvironment=CURRENT="{site.path}/current"\n'
    )
    contents = {
        "app.py": f"VERSION = '{version}'\n{app}\n".encode(),
        "prefork.py": SERVER,
        "install.sh": install.encode(),
        "requirements.lock": f"dep=={dep}\n".encode(),
        "Procfile": f"web: serve {port}\n".encode(),
        ".fap/run": RUN,
        "configs/supervisor_production_web.conf": conf.encode(),
    }
    return artifact(site.folder / version, version, {**contents, **(files or {})})


def page(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
        return str(answer.read().decode())


def pid_of(supervisord: Supervisord) -> str:
    return supervisord.ctl("pid", "shop").stdout.strip()


DIES = "import time; time.sleep(2); raise RuntimeError('does not start')"


def test_what_dies_while_it_imports_never_counts_as_live(
    site: Site, supervisord: Supervisord, port: int
) -> None:
    """Case crash-after-2s-is-done: supervisor takes it for RUNNING after a second."""
    first = site.release(build(site, port, "1"), process_seconds="1")
    with pytest.raises(RolledBackError, match=r"shop \(process \d+\) ended within \d s of its start"):
        site.release(build(site, port, "2", app=DIES))
    assert site.current() == first
    assert page(port) == "1 dep-1"


def test_workers_that_are_replaced_again_and_again_are_seen(
    site: Site, supervisord: Supervisord, port: int
) -> None:
    keeps = f"/usr/bin/env KEEP=1 {site.path}/current/venv/bin/serve {port}"
    first = site.release(build(site, port, "1", command=keeps), process_seconds="1")
    with pytest.raises(RolledBackError, match=r"its workers \d+, \d+ ended"):
        site.release(build(site, port, "2", app="import time; time.sleep(1); 1 / 0", command=keeps))
    assert site.current() == first
    assert page(port) == "1 dep-1"


def test_a_health_check_ends_when_the_process_dies(site: Site, supervisord: Supervisord, port: int) -> None:
    configure(site, supervisord, "supervisorctl, healthcheck", f"healthcheck_port: {port}")
    first = site.release(build(site, port, "1"))
    began = time.monotonic()
    with pytest.raises(
        RolledBackError, match=r"check that the release answers .*\n.*shop \(process \d+\) ended"
    ):
        site.release(build(site, port, "2", app=DIES))
    assert time.monotonic() - began < 15  # not the 60 s of healthcheck_seconds; it includes the way back
    assert site.current() == first


HUP = "supervisor_signal: HUP\nprocess_seconds: 1\n"


def test_a_signal_takes_the_place_of_a_restart_only_where_it_loads_everything(
    site: Site, supervisord: Supervisord, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    """Case hup-old-packages."""
    configure(site, supervisord, more=HUP)
    site.release(build(site, port, "1"))
    first = pid_of(supervisord)
    site.release(build(site, port, "2"))
    assert page(port) == "2 dep-1"
    assert pid_of(supervisord) == first
    assert "instead of getting HUP" not in capfd.readouterr().err

    site.release(build(site, port, "3", dep="2"))
    assert page(port) == "3 dep-2"
    second = pid_of(supervisord)
    assert second != first
    why = "warning: shop is restarted instead of getting HUP: the packages changed (requirements.lock)"
    assert why in capfd.readouterr().err

    configure(site, supervisord, more=f"{HUP}environment: {{SAID: hello}}")
    site.release(build(site, port, "4", dep="2"))
    assert pid_of(supervisord) != second
    assert "instead of getting HUP: the environment changed (.env)" in capfd.readouterr().err

    site.rollback()
    assert page(port) == "3 dep-2"


def test_a_program_of_fap_run_is_restarted_instead_of_signalled(
    site: Site, supervisord: Supervisord, port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(site, supervisord, more=HUP)
    run = f"/bin/sh {site.path}/current/.fap/run web"
    first = site.release(build(site, port, "1", command=run))
    site.release(build(site, port, "2", command=run))
    assert page(port) == "2 dep-1"
    folder = f"{site.path}/releases/{first}"
    assert f"was started by .fap/run in {folder}, and stays in that folder" in capfd.readouterr().err


def test_packages_of_another_release_do_not_count_as_the_release(
    site: Site, supervisord: Supervisord, port: int
) -> None:
    """Whatever the working folder is: here a script names the older interpreter."""
    configure(site, supervisord, more="process_seconds: 1")
    first = site.release(build(site, port, "1"))
    old = f"{site.path}/releases/{first}/venv"
    start = f"exec {old}/bin/python prefork.py {port}\n".encode()
    command = f"sh {site.path}/current/start.sh"
    second = build(site, port, "2", dep="2", command=command, files={"start.sh": start})
    with pytest.raises(RolledBackError, match=f"runs with the packages of {old}, not of"):
        site.release(second)
    assert page(port) == "1 dep-1"


def test_a_version_that_a_reload_can_not_load_goes_back_at_once(
    site: Site, supervisord: Supervisord, port: int
) -> None:
    """The main process ends with its worker, as gunicorn's does."""
    configure(site, supervisord, more=HUP)
    first = site.release(build(site, port, "1"))
    with pytest.raises(RolledBackError):
        site.release(build(site, port, "2", app=DIES), process_seconds="4")
    assert site.current() == first
    assert page(port) == "1 dep-1"


def test_a_start_may_run_other_programs_first(site: Site, supervisord: Supervisord, port: int) -> None:
    """They are no workers, although they are run by the same interpreter."""
    configure(site, supervisord, more="process_seconds: 3")
    before = "import subprocess, sys; [subprocess.run([sys.executable, '-c', f'print({name!r})']) for name in"
    main = f"{before} ('check', 'compile')]; sys.argv[1:] = ['{port}']; import prefork; prefork.main()"
    start = f"{site.path}/current/venv/bin/python start.py"
    url = build(site, port, "1", command=start, files={"start.py": main.encode()})
    assert site.release(url) == site.current()
    assert page(port) == "1 dep-1"

"""A host whose operating system was upgraded, and which has another Python since then."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from faprelease.report.report import Report
from faprelease.verbs import sync
from faprelease.verbs.doctor import doctor
from tests.parts.site import Site, artifact, sha256_of

HERE = "{}.{}".format(*sys.version_info[:2])
INSTALL = """\
mkdir -p venv/bin
python=$(ls {system}/python3.* | tail -n 1)
ln -s "$python" venv/bin/python
echo "version = ${{python##*/python}}.0" >venv/pyvenv.cfg
"""


@pytest.fixture
def system(site: Site) -> Path:
    """Where the host has its only Python, as `python3.11`."""
    folder = site.folder / "system"
    folder.mkdir()
    (folder / f"python{HERE}").symlink_to(Path(sys.executable).resolve())
    site.configure(f"install_paths: [{folder}]")
    return folder


def another_python(system: Path) -> None:
    """What an upgrade does: another minor version in place of the old one."""
    for old in system.iterdir():
        old.unlink()
    program = system / "python3.99"
    program.write_text(
        "#!/bin/sh\ncase $* in *version*%d.%d.%d*) echo version = 3.99.1 ;; *) echo 3.99 ;; esac\n"
    )
    program.chmod(0o755)


def found(site: Site) -> list[tuple[str, str, str]]:
    """The findings about dependencies."""
    return [(one.verdict, one.says, one.fix) for one in doctor(site.request()) if one.check.startswith("II ")]


def release(site: Site, system: Path, version: str) -> str:
    install = INSTALL.format(system=system).encode()
    return site.release(artifact(site.folder / "packed", version, {"install.sh": install}))


def test_releases_whose_python_is_gone_are_named_and_installed_again(site: Site, system: Path) -> None:
    first, second = release(site, system, "1"), release(site, system, "2")
    assert found(site) == []
    another_python(system)
    ((verdict, says, fix),) = found(site)
    assert verdict == "wrong"
    assert f" has no Python {HERE} in its old place: 2 of 2 releases will not start: " in says
    assert says.endswith(f"{first}, {second} (live)")
    assert fix.endswith("faprelease sync production --reinstall")
    url = (site.folder / "packed/shop-2.tgz").as_uri()
    request = site.request(curl_url=url, curl_sha256=sha256_of(url))
    sync.sync(request, Report())
    assert site.current() == second, "it runs there already"
    sync.sync(replace(request, reinstall=True), Report())
    third = site.current()
    assert third != second
    assert site.version() == "2"
    python = site.path / "current/venv/bin/python"
    assert subprocess.run([python], capture_output=True, text=True).stdout == "3.99\n"
    ((verdict, says, _),) = found(site)
    assert (verdict, says.endswith(f"2 of 3 releases will not start: {first}, {second}")) == ("note", True)


def test_a_link_that_is_another_python_now(site: Site, system: Path) -> None:
    """As /usr/bin/python3, which an upgrade of the system moves."""
    live = release(site, system, "1")
    (path,) = system.iterdir()
    another_python(system)
    (system / "python3.99").rename(path)
    ((verdict, says, _),) = found(site)
    assert verdict == "wrong"
    assert says.endswith(f"1 of 1 releases will not start: {live} (live)")


def test_a_patch_release_of_python_changes_nothing(site: Site, system: Path) -> None:
    live = release(site, system, "1")
    (path,) = system.iterdir()
    path.unlink()
    path.symlink_to(Path(sys.executable).resolve().with_name("python3"))
    installed = (site.path / "releases" / live / "venv/pyvenv.cfg").read_text()
    assert installed == f"version = {HERE}.0\n", "not the patch release of this Python"
    assert found(site) == []


def test_a_python_of_the_artifact_is_not_run(site: Site) -> None:
    install = b"mkdir -p venv/bin\nprintf '#!/bin/sh\\ntouch %s/ran' \"$PWD\" >own\nchmod 755 own\n"
    install += b"ln -s ../../own venv/bin/python\necho version = 3.1.0 >venv/pyvenv.cfg\n"
    site.release(artifact(site.folder / "packed", "1", {"install.sh": install}))
    assert found(site) == []
    assert not (site.path / "current/ran").exists()

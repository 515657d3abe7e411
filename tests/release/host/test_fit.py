"""A host that can't run an artifact refuses it when its manifest is there, before it fetches the rest."""

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from artifact_store.artifact.manifest import Platform
from tests.parts.artifacts import artifact
from tests.parts.place import Place
from tests.parts.tgz import root_of
from tests.parts.webserver import serve

MACHINE = os.uname().machine
WHEELS = {"large-1-py3-none-any.whl": os.urandom(1 << 20)}
OURS = ".fap/installer/__main__.py"


def target(python: str = "cp311", platform: str = f"linux_{MACHINE}", glibc: str = "") -> dict[str, Platform]:
    """What a manifest says of its platform."""
    return {"target": Platform(python=python, abi=python, platform=platform, glibc=glibc)}


UNFIT: dict[str, tuple[dict[str, Any], str, str]] = {
    "Python": (
        target(python="cp399"),
        "shop 1 needs Python 3.99, which is not on this host: ",
        "install python3.99, or pack for this host: fapbuild pack --target cp311-manylinux_2_",
    ),
    "processor": (
        target(platform="manylinux_2_28_sparc64"),
        f"shop 1 can't run on this host: this machine is {MACHINE}, but the artifact needs ",
        "pack for this host: fapbuild pack --target cp311-manylinux_2_",
    ),
    "glibc": (
        target(glibc="2.99"),
        "shop 1 can't run on this host: the wheels need glibc 2.99, but this machine has 2.",
        "pack for this host: fapbuild pack --target cp311-manylinux_2_",
    ),
    "a library": (
        {"libraries": ("libnowhere.so.7",)},
        "the wheels need libraries that are missing here: libnowhere.so.7",
        "  install them; to find the package of one: apt-file search libnowhere.so.7",
    ),
    "a manifest that says nothing of it": (
        {"target": {"python": "cp311", "platform": 7}},
        "the manifest can't be read: ",
        "",
    ),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "host")


@pytest.mark.parametrize(("said", "why", "fix"), UNFIT.values(), ids=UNFIT)
def test_an_artifact_that_can_not_run_here_is_not_fetched(
    said: dict[str, Any], why: str, fix: str, place: Place, tmp_path: Path
) -> None:
    data = artifact(tmp_path / "shop.tgz", {OURS: b""}, WHEELS, said=said).read_bytes()
    with serve() as site:
        site.files["/shop.tgz"] = data
        done = place.fetch(f"{site.url}/shop.tgz", sha256(data).hexdigest(), of_root=root_of(data))
        assert site.sent <= 32 << 10, "nothing but the beginning with the manifest"
    assert done.returncode == 1
    assert why in done.stdout
    assert fix in done.stdout
    assert not list(place.release.iterdir())


def test_an_installer_of_its_own_may_bring_its_python(place: Place, tmp_path: Path) -> None:
    said = target(python="cp399", platform="linux_sparc64", glibc="2.99")
    data = artifact(tmp_path / "shop.tgz", {"install.sh": b""}, WHEELS, said=said).read_bytes()
    (tmp_path / "shop.tgz").write_bytes(data)
    done = place.fetch((tmp_path / "shop.tgz").as_uri(), sha256(data).hexdigest(), of_root=root_of(data))
    assert done.returncode == 0, done.stdout
    assert (place.release / "install.sh").exists()


def test_a_command_of_its_own_may_bring_its_python(place: Place, tmp_path: Path) -> None:
    """As `curl_postinstall_script: FAP_PYTHON=/opt/py/bin/python3 ./install.sh`."""
    made = artifact(tmp_path / "shop.tgz", {OURS: b""}, WHEELS, said=target(python="cp399"))
    data = made.read_bytes()
    done = place.fetch(
        made.as_uri(),
        sha256(data).hexdigest(),
        of_root=root_of(data),
        command="FAP_PYTHON=/opt/py ./install.sh",
    )
    assert done.returncode == 0, done.stdout

"""Downloads with pip: in shares, for this platform or another, and the error if there is no file."""

import hashlib
from pathlib import Path

import pytest

from artifact_store.artifact.archive import read_manifest
from artifact_store.core.errors import FapError
from fapbuild.locks import Pin
from fapbuild.project import platforms
from fapbuild.wheels.download import download
from tests.parts.project import Project
from tests.parts.sdists import make_sdist
from tests.parts.wheelhouse import make_wheel, pin

pytestmark = pytest.mark.slow  # runs pip several times at once

HERE = platforms.this_machine()
MACHINE = HERE.platform.removeprefix("linux_")
OTHER = platforms.parse(f"cp399-manylinux_2_28_{MACHINE}")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "house"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


def pin_of(*files: Path) -> Pin:
    name, version = files[0].name.removesuffix(".tar.gz").split("-")[:2]
    hashes = frozenset(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return Pin(name.replace("_", "-"), version, frozenset(), hashes)


def test_many_are_fetched_in_shares_and_come_in_their_order(tmp_path: Path, house: Path) -> None:
    wheels = [make_wheel(house, f"thing{number}") for number in range(20)]
    wheels.append(make_wheel(house, "thing0", "2.0"))
    found = download([pin_of(wheel) for wheel in wheels], HERE, tmp_path / "work")
    assert [file.path.name for file in found] == [wheel.name for wheel in wheels]
    assert len({file.path.parent for file in found}) > 1


def test_another_target_gets_its_own_wheel(tmp_path: Path, house: Path) -> None:
    here = make_wheel(house, "thing", tag=f"{HERE.python}-{HERE.abi}-manylinux2014_{MACHINE}")
    other = make_wheel(house, "thing", tag=f"cp399-cp399-manylinux2014_{MACHINE}")
    newer = make_wheel(house, "thing", tag=f"cp399-cp399-manylinux_2_29_{MACHINE}")
    pins = [pin_of(here, other, newer)]
    assert download(pins, HERE, tmp_path / "one")[0].path.name == here.name
    assert download(pins, OTHER, tmp_path / "two")[0].path.name == other.name


def test_the_refusal_names_every_package_without_a_wheel(tmp_path: Path, house: Path) -> None:
    good = make_wheel(house, "good")
    compiled = make_wheel(house, "compiled", tag=f"{HERE.python}-{HERE.abi}-manylinux2014_{MACHINE}")
    sdist = make_sdist(house, tmp_path / "log")
    pins = [pin_of(compiled), pin_of(good), pin_of(sdist)]
    with pytest.raises(FapError) as caught:
        download(pins, OTHER, tmp_path / "work")
    assert caught.value.message.endswith("the index has no wheel of: compiled 1.0, homemade 1.0")
    assert caught.value.message.startswith(f"for cp399 {HERE.platform} (glibc 2.28)")
    assert HERE.python in caught.value.hint


def test_an_older_glibc_on_this_python_may_build_what_has_no_wheel(tmp_path: Path, house: Path) -> None:
    """With the same Python and processor an sdist will do, as its wheel is checked when it is built."""
    sdist = make_sdist(house, tmp_path / "log")
    newer = make_wheel(house, "homemade", tag=f"{HERE.python}-{HERE.abi}-manylinux_2_18_{MACHINE}")
    older = platforms.parse(f"{HERE.python}-manylinux_2_17_{MACHINE}")
    assert download([pin_of(sdist, newer)], older, tmp_path / "work")[0].path.name == sdist.name


@pytest.mark.index
def test_pack_for_another_target(project: Project, tmp_path: Path) -> None:
    house = tmp_path / "house"
    tags = (f"{HERE.python}-{HERE.abi}-manylinux2014_{MACHINE}", f"cp399-cp399-manylinux2014_{MACHINE}")
    below = "python_version < '3.99'"
    wheels = [make_wheel(house, "thing", tag=tag, requires=(f"gone; {below}",)) for tag in tags]
    lines = [pin(wheel).strip() for wheel in wheels]
    lock = f"{lines[0]} {lines[1].partition(' ')[2]}\nold==1.0 ; {below} --hash=sha256:{'0' * 64}\n"
    project.commit({"requirements.txt": lock})
    name = f"cp399-manylinux_2_28_{MACHINE}"
    manifest = read_manifest(Path(project.pack("--target", name, PIP_FIND_LINKS=str(house))["path"]))
    assert (manifest.target.python, manifest.target.abi, manifest.target.glibc) == ("cp399", "cp399", "2.17")
    assert [wheel.file for wheel in manifest.wheels] == [wheels[1].name]
    project.commit({"fapbuild.toml": f'app = "shop"\ntarget = "{name}"\n'}).git("rm", "-q", "pyproject.toml")
    project.commit()
    again = read_manifest(Path(project.pack("--version=2", PIP_FIND_LINKS=str(house))["path"]))
    assert again.target == manifest.target


def test_an_unknown_target_is_refused_before_anything(project: Project) -> None:
    done = project.run("pack", "--target", "python3.12")
    assert done.returncode == 2
    assert "target 'python3.12' is not understood" in done.stderr

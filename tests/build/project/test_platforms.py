"""Platforms by name, the values of markers there, and which wheels run there."""

import msgspec
import pytest
from packaging.markers import Marker
from packaging.tags import Tag

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import FapError, UsageError
from fapbuild.project import platforms
from fapbuild.project.platforms import check_fits, highest, least_glibc, this_machine

HERE = this_machine()
OTHER = platforms.parse("cp399-manylinux_2_28_aarch64")


@pytest.mark.parametrize("abi", ["cp313t", "cp313d"])
def test_a_python_with_an_abi_of_its_own_is_refused(monkeypatch: pytest.MonkeyPatch, abi: str) -> None:
    monkeypatch.setattr(platforms, "sys_tags", lambda: iter([Tag("cp313", abi, "linux_x86_64")]))
    with pytest.raises(FapError, match=rf"a free-threaded or debug build \({abi}\)"):
        this_machine.__wrapped__()


def test_a_wheel_for_musl_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    here = msgspec.structs.replace(this_machine(), glibc="")
    monkeypatch.setattr(
        platforms, "tags", lambda _: (Tag(here.python, here.python, "musllinux_1_2_x86_64"),)
    )  # what packaging gives there
    with pytest.raises(FapError, match=r"for hosts with musl \(Alpine\)"):
        check_fits(f"x-1-{here.python}-{here.python}-musllinux_1_2_x86_64.whl", here)


def test_no_name_is_this_machine() -> None:
    assert platforms.parse("") == HERE == platforms.parse(HERE.python)
    assert platforms.builds_here(HERE)


def test_a_target_is_named_as_wheels_are() -> None:
    assert Platform(python="cp399", abi="cp399", platform="linux_aarch64", glibc="2.28") == OTHER
    assert platforms.name(OTHER) == "cp399-cp399-linux_aarch64-glibc2.28"
    assert platforms.parse("cp399-manylinux2014_x86_64").glibc == "2.17"
    assert platforms.parse("cp399").platform == HERE.platform
    assert not platforms.builds_here(OTHER)


@pytest.mark.parametrize(
    "text",
    ["3.12", "cp312-linux_x86_64", "cp312-musllinux_1_2_x86_64", "cp312-manylinux_x86_64", "cp27", "-"],
)
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        platforms.parse(text)
    assert repr(text) in caught.value.message
    assert "cp312-manylinux_2_28_x86_64" in caught.value.hint


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ('python_version >= "3.99"', True),
        ('python_full_version >= "3.99.1"', True),
        ('platform_machine == "aarch64"', True),
        ('sys_platform == "win32"', False),
        ('implementation_name == "cpython" and os_name == "posix"', True),
    ],
)
def test_markers_see_the_target(marker: str, holds: bool) -> None:
    assert Marker(marker).evaluate(platforms.marker_environment(OTHER)) is holds


def test_a_target_can_name_a_release_of_python() -> None:
    old = platforms.parse(f"{HERE.python}.1-manylinux_2_28_x86_64")
    assert old.least_python == f"3.{HERE.python[3:]}.1"
    for target in (old, platforms.parse("cp399.1-manylinux_2_28_aarch64"), platforms.parse("cp399.1")):
        environment = platforms.marker_environment(target)
        assert not Marker('python_full_version > "3.99.1"').evaluate(environment)
        assert Marker('implementation_version == "3.99.1"').evaluate(environment) is ("99" in target.python)
    assert platforms.name(old) == platforms.name(msgspec.structs.replace(old, least_python=""))


@pytest.mark.parametrize(
    ("wanted", "fits"), [("", True), (">=3.99", True), (">=3.99.2", False), (">=4", False)]
)
def test_the_python_that_a_project_needs(wanted: str, fits: bool) -> None:
    target = platforms.parse("cp399.1")
    if fits:
        platforms.check_python(wanted, target)
        return
    with pytest.raises(UsageError) as caught:
        platforms.check_python(wanted, target)
    assert caught.value.message == f"the project needs Python {wanted}, but it is packed for Python 3.99.1"


def test_markers_see_this_interpreter_where_it_is_the_targets() -> None:
    import platform

    environment = platforms.marker_environment(HERE)
    assert environment["python_full_version"] == platform.python_version()


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("cp38-abi3-manylinux_2_28_aarch64", True),
        ("cp399-cp399-manylinux_2_17_aarch64.manylinux2014_aarch64", True),
        ("cp399-cp399-manylinux_2_29_aarch64", False),
        ("cp399-cp399-manylinux_2_28_x86_64", False),
        ("cp398-cp398-manylinux_2_28_aarch64", False),
        ("cp399-cp399-linux_aarch64", False),
        ("cp399-cp399-musllinux_1_2_aarch64", False),
    ],
)
def test_which_wheels_run_on_another_target(tag: str, fits: bool) -> None:
    if fits:
        check_fits(f"a-1.0-{tag}.whl", OTHER)
    else:
        with pytest.raises(FapError, match="does not run on cp399"):
            check_fits(f"a-1.0-{tag}.whl", OTHER)


def test_the_tags_of_this_machine_by_its_name_are_those_of_packaging() -> None:
    """A platform that differs only in its glibc has the same rules."""
    older = platforms.parse(f"{HERE.python}-manylinux_2_17_{HERE.platform.removeprefix('linux_')}")
    newer = [
        tag
        for tag in platforms.tags(HERE)
        if tag.platform.startswith("manylinux_2_") and int(tag.platform.split("_")[2]) > 17
    ]
    assert set(platforms.tags(HERE)) - set(platforms.tags(older)) == set(newer)


def test_wheels_for_another_platform_do_not_fit() -> None:
    check_fits("a-1.0-py3-none-any.whl", HERE)
    with pytest.raises(FapError, match="does not run on"):
        check_fits("a-1.0-cp27-cp27m-win32.whl", HERE)


@pytest.mark.parametrize(
    ("tags", "glibc"),
    [
        (["py3-none-any"], ""),
        (["cp311-cp311-manylinux2014_x86_64"], "2.17"),
        (["cp311-cp311-manylinux_2_28_x86_64.manylinux_2_17_x86_64"], "2.17"),
        (["cp311-cp311-manylinux_2_9_x86_64", "cp311-cp311-manylinux_2_28_x86_64"], "2.28"),
        (["cp311-cp311-linux_x86_64", "cp311-cp311-manylinux1_x86_64"], "2.36"),
        (["cp311-cp311-musllinux_1_2_x86_64"], ""),
    ],
)
def test_the_oldest_glibc_that_all_wheels_run_on(tags: list[str], glibc: str) -> None:
    here = Platform(python="cp311", abi="cp311", platform="linux_x86_64", glibc="2.36")
    assert highest(least_glibc(f"a-1.0-{tag}.whl", here) for tag in tags) == glibc


def test_a_wheel_built_here_needs_the_glibc_that_its_files_name() -> None:
    here = Platform(python="cp311", abi="cp311", platform="linux_x86_64", glibc="2.36")
    assert least_glibc("a-1.0-cp311-cp311-linux_x86_64.whl", here, "2.14") == "2.14"


def test_a_wheel_built_for_a_newer_glibc_does_not_fit() -> None:
    older = platforms.parse(f"{HERE.python}-manylinux_2_17_{HERE.platform.removeprefix('linux_')}")
    file = f"a-1.0-{HERE.python}-{HERE.abi}-{HERE.platform}.whl"
    check_fits(file, older, "2.17")
    with pytest.raises(FapError, match=r"was built for glibc 2.18, but the target has 2.17"):
        check_fits(file, older, "2.18")

"""What pack accepts, install.sh installs: wheels that no host could install are refused while packing."""

import subprocess
from pathlib import Path

import pytest

from fapbuild.project import platforms
from fapbuild.wheels import layout
from tests.parts.installer import install
from tests.parts.project import PYPROJECT, Project
from tests.parts.wheelhouse import make_wheel, pin

RUN = "[console_scripts]\nrun = {}:main\n"
Wheel = dict[str, str]
"""The files of a wheel besides its module, with `{info}` and `{data}` for its own folders."""


def locked(project: Project, house: Path, **wheels: Wheel) -> Project:
    made = [
        make_wheel(
            house,
            name,
            also={
                path.format(info=f"{name}-1.0.dist-info", data=f"{name}-1.0.data"): text
                for path, text in files.items()
            },
        )
        for name, files in wheels.items()
    ]
    return project.commit(
        {"requirements.in": "\n".join(wheels), "requirements.txt": "".join(pin(wheel) for wheel in made)}
    )


def entry(text: str) -> Wheel:
    return {"{info}/entry_points.txt": text}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (entry("[console_scripts]\nrun = bad-name:main\n"), "run = bad-name:main names no function"),
        (entry("[console_scripts]\nrun = odd\n"), "run = odd names no function"),
        (entry("[console_scripts]\nrun = odd:main\nrun = odd:main\n"), "can't be read: "),
        (entry("\ufeff[console_scripts]\nrun = odd:main\n"), "can't be read: "),
        (entry("[gui_scripts]\npython3 = odd:main\n"), "it has a script called python3"),
        ({"{data}/scripts/python3.11": "#!python\n"}, "it has a script called python3.11"),
        ({"{data}/scripts/readlink": "#!python\n"}, "it has a script called readlink"),
    ],
)  # fmt: skip
def test_a_wheel_that_no_host_can_install(
    project: Project, tmp_path: Path, files: Wheel, reason: str
) -> None:
    done = locked(project, tmp_path / "house", odd=files).run("pack", PIP_FIND_LINKS=str(tmp_path / "house"))
    assert done.returncode == 1
    assert "odd-1.0-py3-none-any.whl can't be installed: " in done.stderr
    assert reason in done.stderr


@pytest.mark.parametrize(
    "files",
    [
        entry("[console_scripts]\nrun = odd:main [extra]\n[other]\nx = any-thing\n"),
        {"{data}/scripts/pythonic": "#!python\n", "{data}/data/share/x": "x", "{data}/headers/x.h": ""},
    ],
)
def test_odd_wheels_that_hosts_install(project: Project, tmp_path: Path, files: Wheel) -> None:
    path = locked(project, tmp_path / "house", odd=files).pack(PIP_FIND_LINKS=str(tmp_path / "house"))["path"]
    assert_installs(path, tmp_path)


def assert_installs(path: str, tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    subprocess.run(["tar", "xzf", path], cwd=tmp_path / "host", check=True)
    done = install(tmp_path / "host")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("one", "two", "path"),
    [
        ({"same.py": "1"}, {"same.py": "2"}, "site-packages/same.py"),
        ({"same.py": "1"}, {"{data}/purelib/same.py": "2"}, "site-packages/same.py"),
        (entry(RUN.format("aaa")), entry(RUN.format("zzz")), "bin/run"),
        (entry(RUN.format("aaa")), {"{data}/scripts/run": "#!python\n"}, "bin/run"),
    ],
)  # fmt: skip
def test_two_different_files_of_one_name(
    project: Project, tmp_path: Path, one: Wheel, two: Wheel, path: str
) -> None:
    env = {"PIP_FIND_LINKS": str(tmp_path / "house")}
    project.write({"Procfile": "web: run\n"})
    done = locked(project, tmp_path / "house", aaa=one, zzz=two).run("pack", **env)
    assert done.returncode == 2
    assert f"  {path}: in aaa-1.0-py3-none-any.whl and zzz-1.0-py3-none-any.whl" in done.stderr
    line = f'allow = [{{path = "venv/{path}", reason = "why"}}]'
    assert line in done.stderr
    facts = project.commit({"pyproject.toml": f"{PYPROJECT}{line}\n"}).pack(**env)
    assert f"warning: {path} is in aaa-1.0-py3-none-any.whl and in zzz-" in facts["talk"]
    assert_installs(facts["path"], tmp_path)


@pytest.mark.parametrize(
    ("requires", "procfile"),
    [((), "web: other\n"), (("aaa",), "web: run\n")],
    ids=["no process starts it", "one requires the other"],
)
def test_a_command_of_two_packages_is_packed_with_a_warning(
    project: Project, tmp_path: Path, requires: tuple[str, ...], procfile: str
) -> None:
    house = tmp_path / "house"
    wheels = [
        make_wheel(house, name, requires=more, also={f"{name}-1.0.dist-info/entry_points.txt": text})
        for name, more, text in (("aaa", (), RUN.format("aaa")), ("zzz", requires, RUN.format("zzz")))
    ]
    files = {"requirements.in": "aaa\nzzz\n", "requirements.txt": "".join(map(pin, wheels))}
    facts = project.commit({**files, "Procfile": procfile}).pack(PIP_FIND_LINKS=str(house))
    assert "warning: bin/run is in aaa-1.0-py3-none-any.whl and in zzz-1.0-py3-none-any" in facts["talk"]
    assert_installs(facts["path"], tmp_path)


@pytest.mark.parametrize(
    ("one", "two", "warns"),
    [
        ({"tests/__init__.py": "1"}, {"tests/__init__.py": "2"}, True),
        ({"LICENSE": "1"}, {"LICENSE": "2"}, True),
        ({"same.py": "1"}, {"same.py": "1"}, False),
        ({"space/__init__.py": "import pkgutil\n"}, {"space/__init__.py": "from pkgutil import x\n"}, False),
    ],
)
def test_files_of_one_name_that_do_no_harm(
    project: Project, tmp_path: Path, one: Wheel, two: Wheel, warns: bool
) -> None:
    facts = locked(project, tmp_path / "house", aaa=one, zzz=two).pack(PIP_FIND_LINKS=str(tmp_path / "house"))
    assert ("is installed" in facts["talk"]) is warns
    assert_installs(facts["path"], tmp_path)


def test_a_file_in_one_wheel_and_a_folder_in_another(project: Project, tmp_path: Path) -> None:
    wheels: dict[str, Wheel] = {"aaa": {"LICENSE": "x"}, "zzz": {"LICENSE/MIT.txt": "x"}}
    done = locked(project, tmp_path / "house", **wheels).run("pack", PIP_FIND_LINKS=str(tmp_path / "house"))
    assert done.returncode == 2
    assert (
        "site-packages/LICENSE is a file in aaa-1.0-py3-none-any.whl, and a folder in zzz-1.0" in done.stderr
    )


def test_an_app_with_its_own_installer_decides_itself(project: Project, tmp_path: Path) -> None:
    project.commit({"pyproject.toml": f'{PYPROJECT}installer = "own"\n', "install.sh": ""})
    wheels: dict[str, Wheel] = {"aaa": {"same.py": "1"}, "zzz": {"same.py": "2"}}
    assert locked(project, tmp_path / "house", **wheels).pack(PIP_FIND_LINKS=str(tmp_path / "house"))


def test_a_scan_is_kept(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "odd", script=True)
    found = layout.read(wheel, wheel.name)
    assert found.problem == ""
    assert found.files["bin/odd"] == "entry point odd:main"
    assert set(found.files) >= {"site-packages/odd.py", "bin/odd-tool"}


def test_a_program_with_a_python_in_it_is_a_warning(project: Project, tmp_path: Path) -> None:
    machine = platforms.this_machine()
    tag = f"{machine.python}-{machine.abi}-{machine.platform}"
    script = {"odd-1.0.data/scripts/serve": "\x7fELF Py_Initialize"}
    wheels = [
        make_wheel(tmp_path / "house", "odd", tag=tag, also=script),
        make_wheel(tmp_path / "house", "even", tag=tag, also={"even-1.0.data/scripts/serve2": "\x7fELF"}),
    ]
    files = {"requirements.in": "odd\neven\n", "requirements.txt": "".join(map(pin, wheels))}
    facts = project.commit(files).pack(PIP_FIND_LINKS=str(tmp_path / "house"))
    assert f"warning: serve of odd-1.0-{tag}.whl has the Python in it that built it: " in facts["talk"]
    assert "serve2" not in facts["talk"]

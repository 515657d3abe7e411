"""install.sh installs wheels: places of their parts, scripts, what other tools see, what is refused."""

import base64
import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.build.conftest import Unpack
from tests.parts.installer import install, output, site_of
from tests.parts.laid_out import with_facts, with_wheels
from tests.parts.wheelhouse import make_wheel


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Wheels with a part of every kind."""
    house = tmp_path_factory.mktemp("rich")
    data = "parts-1.0.data"
    parts = {
        f"{data}/scripts/shell-tool": "#!/bin/sh\necho shell tool\n",
        f"{data}/scripts/unbuffered-tool": "#!python -u\nimport sys; print(sys.prefix)\n",
        f"{data}/scripts/no-tool": "only text\n",
        f"{data}/headers/parts.h": "int part;\n",
        f"{data}/data/share/parts/one.txt": "one\n",
        f"{data}/data/etc/parts.conf": "two\n",
        f"{data}/purelib/pure_part.py": "PURE = True\n",
        f"{data}/platlib/plat_part.py": "PLAT = True\n",
        "parts.pth": "import sys; sys.from_pth = 'yes'\n",
        "parts-1.0.dist-info/entry_points.txt": "[gui_scripts]\nparts-gui = parts:main\n",
        "space/one/__init__.py": "",
        "not_python.py": "{{ a template }}\n",
    }
    return [
        make_wheel(house, "other-space", also={"space/two/__init__.py": ""}, requires=("parts[more]",)),
        make_wheel(house, "parts", also=parts, requires=('other-space; extra == "more"',)),
    ]


@pytest.fixture(scope="module")
def folder(packed: Path, rich: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("rich release")
    subprocess.run(["tar", "xzf", packed], cwd=made, check=True)
    done = install(with_wheels(made, rich))
    assert (done.returncode, done.stderr) == (0, "")
    return made


def test_every_part_goes_to_its_place(folder: Path) -> None:
    venv = folder / "venv"
    assert output(venv / "bin" / "shell-tool") == "shell tool\n"
    assert output(venv / "bin" / "unbuffered-tool") == f"{venv}\n"
    assert output(venv / "bin" / "parts-gui") == "parts 1.0\n"
    assert (venv / "include" / "site" / "parts" / "parts.h").is_file()
    assert (venv / "share" / "parts" / "one.txt").read_text() == "one\n"
    assert (venv / "etc" / "parts.conf").is_file()
    code = "import sys, pure_part, plat_part, space.one, space.two; print(sys.from_pth)"
    assert output(venv / "bin" / "python", "-c", code) == "yes\n"


def test_scripts_run_in_long_paths_and_after_a_move(unpack: Unpack, rich: list[Path], tmp_path: Path) -> None:
    """The kernel cuts the first line of a script at 127 bytes on old systems, at 255 on new ones."""
    deep = "/".join(["a folder with a name of some length", "ünïcode $HOME 'quoted'"] * 4)
    (tmp_path / deep).mkdir(parents=True)
    release = with_wheels(unpack(f"{deep}/release"), rich)
    assert len(str(release)) > 255
    assert install(release).returncode == 0
    for _ in range(2):
        assert output(release / "venv" / "bin" / "unbuffered-tool") == f"{release}/venv\n"
        assert output(release / "venv" / "bin" / "parts-gui") == "parts 1.0\n"
        release = release.rename(tmp_path / "moved")


def test_pip_finds_the_packages_sound_and_can_remove_them(unpack: Unpack, rich: list[Path]) -> None:
    release = with_wheels(unpack(), rich)
    assert install(release).returncode == 0
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        release / "venv/bin/python",
    ]
    assert output(*pip, "list", "--format=freeze").split() == ["other-space==1.0", "parts==1.0"]
    assert output(*pip, "check") == "No broken requirements found.\n"
    output(*pip, "uninstall", "--yes", "parts", "other-space")
    left = [path for path in (release / "venv").rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path.name for path in left] == ["pyvenv.cfg"]


def test_every_file_is_in_a_record_with_its_hash(folder: Path) -> None:
    site, recorded = site_of(folder), set()
    for record in site.glob("*.dist-info/RECORD"):
        for line in record.read_text().splitlines():
            name, digest, size = line.rsplit(",", 2)
            path = Path(os.path.normpath(site / name))
            recorded.add(path)
            if path != record:
                data = path.read_bytes()
                encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                assert (digest, size) == (f"sha256={encoded}", str(len(data)))
    there = {path for path in (folder / "venv").rglob("*") if path.is_file() and not path.is_symlink()}
    rest = {path for path in there - recorded if path.suffix != ".pyc"}
    assert rest == {folder / "venv" / "pyvenv.cfg"}


def test_all_files_but_broken_ones_have_bytecode(folder: Path) -> None:
    names = {path.name.split(".")[0] for path in site_of(folder).glob("__pycache__/*.pyc")}
    assert names == {"other_space", "parts", "pure_part", "plat_part"}


def test_bytecode_is_the_same_in_any_folder_on_any_number_of_cpus(unpack: Unpack, rich: list[Path]) -> None:
    compiled = []
    for number, wrap in enumerate((["taskset", "-c", "0", "sh"], ["sh"])):
        release = with_wheels(unpack(f"release {number}"), rich)
        assert install(release, shell=wrap).returncode == 0
        files = [*site_of(release).rglob("*.pyc"), *release.glob("__pycache__/*.pyc")]
        compiled.append({path.relative_to(release): path.read_bytes() for path in files})
    assert compiled[0] == compiled[1]
    # PEP 552: bit 0 means that it contains a hash of the source, bit 1 that the hash is checked.
    flags = {path.name.split(".")[0]: data[4] for path, data in compiled[0].items()}
    assert flags.pop("show") == 3
    assert set(flags.values()) == {1}


def test_a_traceback_names_the_file_that_is_there(folder: Path) -> None:
    shown = output(folder / "venv/bin/python", "-c", "import parts; print(parts.main.__code__.co_filename)")
    assert shown == f"{site_of(folder)}/parts.py\n"


HOSTILE = {
    "dots": {"../../../../../evil": ""},
    "rooted": {"/tmp/fapkit-evil": ""},
    "dots in data": {"bad-1.0.data/data/../../../evil": ""},
    "dots in scripts": {"bad-1.0.data/scripts/../../evil": ""},
    "entry point": {"bad-1.0.dist-info/entry_points.txt": "[console_scripts]\n../../evil = bad:main\n"},
    "no such scheme": {"bad-1.0.data/stdlib/os.py": ""},
}


@pytest.mark.parametrize("files", HOSTILE.values(), ids=HOSTILE)
def test_a_wheel_that_leads_out_of_the_venv_is_refused(
    unpack: Unpack, tmp_path: Path, files: dict[str, str]
) -> None:
    wheel = make_wheel(tmp_path / "house", "bad", also=files)
    release = with_wheels(unpack(), [wheel])
    done = install(release)
    assert done.returncode == 1
    assert "wheels/bad-1.0-py3-none-any.whl can't be installed" in done.stderr
    assert (done.stdout, "Traceback" in done.stderr) == ("", False)
    assert not (release / "venv").exists()
    assert not [path for path in (*tmp_path.rglob("*evil"), Path("/tmp/fapkit-evil")) if path.exists()]


@pytest.mark.parametrize("place", ["scripts/python", "data/bin/python3", "data/pyvenv.cfg"])
def test_a_wheel_that_brings_an_interpreter_is_refused(unpack: Unpack, tmp_path: Path, place: str) -> None:
    wheel = make_wheel(tmp_path / "house", "bad", also={f"bad-1.0.data/{place}": "mine\n"})
    release = with_wheels(unpack(), [wheel])
    before = Path(sys.executable).resolve().stat()
    done = install(release)
    assert (done.returncode, done.stdout) == (1, "")
    assert "which belongs to the interpreter" in done.stderr
    assert Path(sys.executable).resolve().stat().st_mtime == before.st_mtime


def test_a_broken_wheel_is_refused(unpack: Unpack, tmp_path: Path) -> None:
    broken = tmp_path / "broken-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip")
    empty = tmp_path / "empty-1.0-py3-none-any.whl"
    zipfile.ZipFile(empty, "w").close()
    for wheel in (broken, empty):
        done = install(with_wheels(unpack(wheel.stem), [wheel]))
        assert (done.returncode, done.stdout) == (1, "")
        assert f"wheels/{wheel.name} can't be installed" in done.stderr
        assert "Traceback" not in done.stderr


def test_requirements_are_those_of_this_host(unpack: Unpack, tmp_path: Path) -> None:
    """As if built on another Python of the same minor version, or with an overridden lock."""
    house = tmp_path / "house"
    wheels = [
        make_wheel(
            house, "asks", requires=("extra-part[deep]", 'absent; python_version > "3"', "extra-part>=2")
        ),
        make_wheel(house, "extra-part", requires=('deeper; extra == "deep"', 'no-one; extra == "unasked"')),
        make_wheel(house, "newer", also={"newer-1.0.dist-info/METADATA": NEWER}),
    ]
    done = install(with_wheels(unpack(), wheels))
    assert (done.returncode, done.stdout) == (1, "")
    here = "{}.{}.{}".format(*sys.version_info[:3])
    assert done.stderr.splitlines() == [
        f"install.sh: newer 1.0 needs Python >=3.99, but this is {here}",
        '  asks needs absent; python_version > "3", which is not in this artifact',
        '  extra-part needs deeper; extra == "deep", which is not in this artifact',
        f"  lock and pack again with the Python of your hosts, {here}",
    ]


NEWER = "Metadata-Version: 2.1\nName: newer\nVersion: 1.0\nRequires-Python: >=3.99\n"


def test_another_version_than_asked_for_is_a_warning(unpack: Unpack, tmp_path: Path) -> None:
    house = tmp_path / "house"
    wheels = [make_wheel(house, "asks", requires=("given>=2",)), make_wheel(house, "given")]
    done = install(with_wheels(unpack(), wheels))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("warning: asks wants given>=2, but this artifact has 1.0\ninstalled ")


def test_libraries_that_are_missing_are_named(unpack: Unpack) -> None:
    release = with_facts(unpack(), libraries=["libc.so.6", "libnowhere.so.9", "libneither.so.1"])
    done = install(release)
    assert (done.returncode, done.stdout) == (1, "")
    assert "libraries that are missing here: libnowhere.so.9, libneither.so.1\n" in done.stderr
    assert "apt-file search libnowhere.so.9" in done.stderr
    assert not (release / "venv").exists()
    assert install(with_facts(release, libraries=["libc.so.6"])).returncode == 0


def test_a_glibc_that_is_too_old_is_named(unpack: Unpack) -> None:
    release = unpack()
    target = {"python": "cp{}{}".format(*sys.version_info[:2]), "abi": "", "platform": os.uname().machine}
    done = install(with_facts(release, target={**target, "glibc": "2.999"}))
    assert done.returncode == 1
    assert "the wheels need glibc 2.999, but this machine has 2." in done.stderr

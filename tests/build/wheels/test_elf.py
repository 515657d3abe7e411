"""The host libraries that compiled files need, read from real files: Python's own, and one from gcc."""

import _ssl
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

from fapbuild.wheels.elf import needed
from fapbuild.wheels.facts import WheelFacts, read
from tests.parts.project import Project

LINUX = "thing-1.0-cp311-cp311-linux_x86_64.whl"


def wheel(folder: Path, name: str, files: dict[str, Path | bytes]) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in files.items():
            archive.writestr(inside, content if isinstance(content, bytes) else content.read_bytes())
    return path


def test_libraries_that_are_not_glibcs_and_the_glibc(tmp_path: Path) -> None:
    made = wheel(tmp_path, LINUX, {"thing/_ssl.so": Path(_ssl.__file__), "thing/__init__.py": b""})
    facts = read(made, made.name)
    shown = subprocess.run(["ldd", _ssl.__file__], capture_output=True, text=True, check=True).stdout
    (libssl,) = set(re.findall(r"libssl\.so[.\d]*", shown.partition("=>")[0] + shown))
    assert libssl in facts.libraries
    assert not [name for name in facts.libraries if name.startswith(("libc.", "libpthread.", "ld-"))]
    assert re.fullmatch(r"2\.\d+(\.\d+)?", facts.glibc)


def test_what_the_wheel_brings_itself_is_not_needed(tmp_path: Path) -> None:
    own = tmp_path / "libown.so.1"
    (tmp_path / "own.c").write_text("int own(void) { return 1; }\n")
    (tmp_path / "user.c").write_text("int own(void); int user(void) { return own(); }\n")
    compiler = shutil.which("gcc") or "cc"
    run = [compiler, "-shared", "-fPIC", "-nostdlib"]
    subprocess.run([*run, "-Wl,-soname,libown.so.1", "-o", own, tmp_path / "own.c"], check=True)
    subprocess.run([*run, "-o", tmp_path / "user.so", tmp_path / "user.c", own], check=True)
    alone = wheel(tmp_path, "a.whl", {"user.so": tmp_path / "user.so"})
    both = wheel(tmp_path, "b.whl", {"user.so": tmp_path / "user.so", "libs/libown-1f2e.so": own})
    with zipfile.ZipFile(alone) as one, zipfile.ZipFile(both) as two:
        assert needed(one).libraries == ("libown.so.1",)
        assert needed(two).libraries == ()
        assert needed(two).glibc == ""


def test_files_that_only_look_like_elf_need_nothing(tmp_path: Path) -> None:
    whole = Path(_ssl.__file__).read_bytes()
    files = {
        "cut.so": whole[: len(whole) // 2],
        "head": b"\x7fELF",
        "noise": b"\x7fELF" + bytes(range(256)) * 9,
    }
    made = wheel(tmp_path, LINUX, dict(files))
    assert read(made, made.name).glibc == ""


def test_published_wheels_are_not_searched(tmp_path: Path) -> None:
    made = wheel(tmp_path, "thing-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", {"a.so": Path(_ssl.__file__)})
    assert read(made, made.name) == WheelFacts("\n")


def test_the_manifest_names_them(project: Project, tmp_path: Path) -> None:
    from artifact_store.artifact.archive import read_manifest
    from fapbuild.project.platforms import this_machine
    from tests.parts.wheelhouse import make_wheel, pin

    here = this_machine()
    house = tmp_path / "house"
    made = make_wheel(house, "thing", tag=f"{here.python}-{here.abi}-{here.platform}")
    with zipfile.ZipFile(made, "a") as archive:
        archive.write(_ssl.__file__, "_ssl.so")
    project.commit({"requirements.txt": pin(made)})
    manifest = read_manifest(Path(project.pack(PIP_FIND_LINKS=str(house), FAP_CACHE=str(tmp_path))["path"]))
    assert any(name.startswith("libssl.so") for name in manifest.libraries)
    assert manifest.target.glibc == read(made, made.name).glibc != ""

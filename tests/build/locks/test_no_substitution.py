"""What is packed is what the project's own lock and sources say, or a refusal with the line to type."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fapbuild.locks import uv_lock
from tests.parts.project import Project
from tests.parts.source_package import below, package
from tests.parts.webserver import offer, serve
from tests.parts.wheelhouse import make_wheel, pin

UV = '[project]\nname = "web"\nversion = "0"\nrequires-python = ">=3.11"\ndependencies = ["{}"]\n'
WORKSPACE = '[tool.uv.workspace]\nmembers = ["apps/*", "libs/*"]\n'


@pytest.fixture
def index(tmp_path: Path) -> Iterator[str]:
    """An index of `shared` 9.9, a stranger, and of `steady` 1.0 and 2.0."""
    house = tmp_path / "house"
    wheels = [make_wheel(house, "shared", "9.9"), make_wheel(house, "left-pad")]
    wheels += [make_wheel(house, "steady", version) for version in ("1.0", "2.0")]
    with serve() as site:
        yield offer(site, wheels)


def wheels_of(project: Project, path: str) -> str:
    return project.run("inspect", path).stdout.partition("\nwheels")[2]


def uv(folder: Path, *arguments: str, index: str) -> None:
    argv = [sys.executable, "-m", "uv", *arguments, "--quiet", f"--default-index={index}"]
    subprocess.run(argv, cwd=folder, check=True, env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"})


def test_a_member_of_a_workspace_gets_its_sibling(project: Project, index: str) -> None:
    """The lock is found above the project, without a line in the settings."""
    sources = "[tool.uv.sources]\nshared = {workspace = true}\n[tool.fapbuild]\n"
    project.write({"pyproject.toml": UV.format("steady") + WORKSPACE.replace("web", "top")})
    project.write(
        {"apps/web/pyproject.toml": UV.format("shared") + sources} | below("libs/shared", package("shared"))
    )
    project.write(
        {"pyproject.toml": '[project]\nname = "top"\nversion = "0"\nrequires-python = ">=3.11"\n' + WORKSPACE}
    )
    uv(project.folder, "lock", index=index)
    project.commit()
    web = Project(project.folder / "apps" / "web", project.env)
    facts = web.pack(PIP_EXTRA_INDEX_URL=index)
    assert "building shared from ../../libs/shared" in facts["talk"]
    assert "  shared 1.0\n" in web.run("inspect", facts["path"]).stdout
    (web.folder.parents[1] / "uv.lock").unlink()
    web.commit()
    for command in ("pack", "lock"):
        done = web.run(command, PIP_EXTRA_INDEX_URL=index)
        assert done.returncode == 2
        assert "[tool.uv.sources] of pyproject.toml says where shared comes from" in done.stderr
        assert "hint: lock with uv, and commit its lock: uv lock && git add uv.lock" in done.stderr
    assert "wrong  II dependencies: [tool.uv.sources]" in web.run("check").stdout


@pytest.mark.parametrize(
    "source", ['path = "../shared"', 'git = "https://example.org/x"', 'index = "private"']
)
def test_a_source_that_only_uv_reads_is_refused(project: Project, source: str) -> None:
    project.commit({"pyproject.toml": UV.format("Shared>=1") + f"[tool.uv.sources]\nshared = {{{source}}}\n"})
    done = project.run("pack")
    assert done.returncode == 2
    assert "says where shared comes from, which only uv reads" in done.stderr


def test_a_stranger_in_a_lock_of_pip_compile_is_refused(project: Project, tmp_path: Path) -> None:
    stranger = make_wheel(tmp_path / "house", "shared", "9.9")
    text = UV.format("shared") + "[tool.uv.sources]\nshared = {workspace = true}\n"
    done = project.commit({"pyproject.toml": text, "requirements.txt": pin(stranger)}).run("pack")
    assert done.returncode == 2
    assert "requirements.txt would get a package of the same name from an index" in done.stderr


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ('[[tool.uv.index]]\nurl = "https://example.org"\n', "uv lock && git add uv.lock"),
        ('[[tool.pdm.source]]\nurl = "https://example.org"\n', "pdm lock && git add pdm.lock"),
        ('[[tool.poetry.source]]\nurl = "https://example.org"\n', "poetry lock && git add poetry.lock"),
    ],
)
def test_an_index_that_only_another_tool_reads_is_refused(project: Project, table: str, line: str) -> None:
    done = project.commit({"pyproject.toml": UV.format("steady") + table}).run("pack")
    assert done.returncode == 2
    assert f"commit its lock: {line}" in done.stderr


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("steady==1.0", "steady>=2.0", "it was not made for steady>=2.0"),
        ("steady", "steady[fast]", "it was not made for steady[fast]"),
        ("steady", 'steady", "left-pad', "left-pad is not in it"),
        ('steady", "left-pad', "steady", "it was made for left-pad, which is no longer required so"),
        *(
            ("steady", f'steady"]\n[tool.uv]\n{kind}-dependencies = ["greet<2', "it was not made for greet")
            for kind in ("constraint", "override")
        ),
    ],
)  # fmt: skip
def test_a_stale_uv_lock_is_refused(
    project: Project, index: str, before: str, after: str, reason: str
) -> None:
    project.write({"pyproject.toml": UV.format(before)})
    uv(project.folder, "lock", index=index)
    assert project.commit().pack("--dry-run")["app"] == "web"
    done = project.commit({"pyproject.toml": UV.format(after)}).run("pack")
    assert done.returncode == 2
    assert f"uv.lock is stale: {reason}" in done.stderr
    assert "hint: run `fapbuild lock`, then commit uv.lock" in done.stderr


def test_a_stale_pylock_is_refused(project: Project) -> None:
    lock = 'lock-version = "1.0"\ncreated-by = "x"\n[[packages]]\nname = "steady"\nversion = "1.0"\n'
    lock += (
        'sdist = {url = "https://example.org/steady-1.0.tar.gz", hashes = {sha256 = "' + "1" * 64 + '"}}\n'
    )
    done = project.commit({"pyproject.toml": UV.format("steady>=2"), "pylock.toml": lock}).run("pack")
    assert done.returncode == 2
    assert "pylock.toml is stale: it has steady 1.0, but steady>=2 is required" in done.stderr


def test_a_lock_of_commits_only_is_used(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    shared = Project(other).commit(package("shared"))
    project.write({"requirements.in": f"shared @ git+file://{other}@main\nleft-pad\n"}).commit()
    project.write({"requirements.in": f"shared @ git+file://{other}@main\n"})
    locked = f"shared @ git+file://{other}@{shared.git('rev-parse', 'HEAD')}\n"
    project.commit({"requirements.txt": locked})
    shared.commit({"value.txt": "two"})
    done = project.run("pack")
    assert "warning" not in done.stderr
    assert "shared 1.0 needs left-pad, which is not in the lock" in done.stderr


def test_a_lock_without_hashes_is_not_passed_over(project: Project) -> None:
    done = project.commit(
        {"requirements.in": "greet\n", "requirements.txt": "greet==1.0\nleft-pad==1.0\n"}
    ).run("pack")
    assert done.returncode == 2
    assert "requirements.txt line 1: greet==1.0 is not pinned with == and --hash=sha256" in done.stderr


def test_other_hashes_of_a_lock(project: Project, local_lock: str) -> None:
    text = local_lock.upper().replace("--HASH=SHA256:", "--hash=sha256:")
    facts = project.commit({"requirements.in": "greet\n", "requirements.txt": text}).pack()
    assert "warning" not in facts["talk"]
    text = f"greet==1.0 --hash=sha512:{'1' * 128}\n"
    done = project.commit({"requirements.txt": text}).run("pack")
    assert done.returncode == 2
    assert "requirements.txt line 1: greet==1.0 is not pinned by a sha256, only by sha512" in done.stderr


@pytest.mark.parametrize(
    "files",
    [
        {"requirements.in": "--extra-index-url {index}\nsteady\n"},
        {"requirements.in": "-i {index}\nsteady\n"},
        {"requirements.in": "-r more/base.in\n", "more/base.in": "--extra-index-url={index}\nsteady\n"},
    ],
)
def test_indexes_are_kept_between_lock_and_pack(project: Project, index: str, files: dict[str, str]) -> None:
    project.write({name: text.format(index=index) for name, text in files.items()})
    assert project.run("lock").returncode == 0
    facts = project.commit().pack()
    assert "  steady 2.0\n" in project.run("inspect", facts["path"]).stdout


def test_folders_of_wheels_are_kept_between_lock_and_pack(project: Project) -> None:
    make_wheel(project.folder / "deps" / "vendored", "vendored", "1.0")
    settings = 'app = "shop"\nrequirements = "deps/base.in"\nlock = "deps/base.txt"\n'
    project.write({"deps/base.in": "--find-links vendored\nvendored\n"})
    project.write({"pyproject.toml": f"[tool.fapbuild]\n{settings}"})
    assert project.run("lock").returncode == 0
    assert "--find-links vendored\n" in (project.folder / "deps" / "base.txt").read_text()
    facts = project.commit().pack()
    assert "  vendored 1.0\n" in project.run("inspect", facts["path"]).stdout
    project.git("rm", "--quiet", "-r", "deps/vendored")
    done = project.commit().run("pack", FAP_CACHE=str(project.folder.parent / "empty"))
    assert done.returncode == 2
    assert "deps/vendored is required, but it is not committed" in done.stderr


def test_a_package_of_one_index_is_asked_for_nowhere_else(project: Project, tmp_path: Path) -> None:
    """The lock of uv names an index for each package; the public one never hears of a private name."""
    private, public = make_wheel(tmp_path / "a", "steady"), make_wheel(tmp_path / "b", "left-pad")
    with serve() as own, serve() as other:
        theirs, ours = offer(other, [public]), offer(own, [private])
        text = UV.format('steady", "left-pad') + '[tool.fapbuild]\nlock = "uv.lock"\n'
        text += "[tool.uv.sources]\nsteady = {index = 'own'}\n"
        text += f'[[tool.uv.index]]\nname = "own"\nurl = "{ours}"\nexplicit = true\n'
        project.write(
            {"pyproject.toml": text + f'[[tool.uv.index]]\nname = "all"\nurl = "{theirs}"\ndefault = true\n'}
        )
        assert project.run("lock").returncode == 0
        before = len(other.asked), len(own.asked)
        facts = project.commit().pack(PIP_FIND_LINKS="", FAP_CACHE=str(tmp_path / "cache"))
        assert "  left-pad 1.0\n  steady 1.0\n" in project.run("inspect", facts["path"]).stdout
        assert [path for path, _ in own.asked[before[1] :] if "steady" in path]
        assert not [path for path, _ in other.asked[before[0] :] if "steady" in path]
        assert not [path for path, _ in own.asked[before[1] :] if "left-pad" in path]


@pytest.mark.parametrize(
    ("files", "name", "line"),
    [
        ({"Pipfile": '[packages]\nflask = "*"\n'}, "Pipfile", "pipenv lock"),
        (
            {"pyproject.toml": '[tool.poetry]\nname = "shop"\n[tool.poetry.dependencies]\nflask = "*"\n'},
            "[tool.poetry] of pyproject.toml",
            "poetry lock",
        ),
        ({"environment.yml": "dependencies: [flask]\n"}, "environment.yml", "requirements.in"),
        ({"pixi.toml": ""}, "pixi.toml", "requirements.in"),
        *(
            ({name: "flask\n"}, name, f'requirements = "{name}"')
            for name in ("requirements/prod.txt", "requirements-prod.txt")
        ),
    ],
)  # fmt: skip
def test_dependencies_that_are_not_read_are_refused(
    project: Project, files: dict[str, str], name: str, line: str
) -> None:
    project.commit(files)
    done = project.run("pack")
    assert done.returncode == 2
    assert f"{name} lists dependencies, but fapbuild does not read them from there" in done.stderr
    assert line in done.stderr.partition("hint: ")[2]
    assert f"wrong  II dependencies: {name} lists" in project.run("check").stdout
    assert project.run("lock").returncode == 2
    assert "no packages: requirements.txt has none" in project.commit({"requirements.txt": ""}).pack()["talk"]


def test_no_dependencies_are_never_right(project: Project) -> None:
    assert "no packages: the project lists no dependencies" in project.pack()["talk"]
    assert "note   II dependencies: no dependencies are listed" in project.run("check").stdout
    project.commit({"dev-requirements.txt": "pytest\n"})
    assert "no packages" in project.pack()["talk"]


def test_two_locks_are_refused_until_one_is_named(project: Project) -> None:
    project.commit({"requirements.in": "greet\n", "uv.lock": "version = 1\n"})
    done = project.run("pack")
    assert done.returncode == 2
    assert "both requirements.in and uv.lock list the dependencies" in done.stderr
    assert 'requirements = "requirements.in" or lock = "uv.lock"' in done.stderr


SETUP = (
    "from setuptools import setup\nNAME = 'shop'\nsetup(name=NAME, version='1', py_modules=['shop'], {})\n"
)


@pytest.mark.parametrize(
    "files",
    [
        {
            "setup.py": SETUP.format("install_requires=['left-pad']"),
            "pyproject.toml": "[tool.fapbuild]\napp = 'shop'\n",
        },
        {
            "setup.py": SETUP.format(""),
            "setup.cfg": "[metadata]\nname = shop\n[options]\ninstall_requires = left-pad\n",
        },
        {
            "pyproject.toml": '[project]\nname = "shop"\nversion = "1"\ndynamic = ["dependencies"]\n'
            '[tool.setuptools]\npy-modules = ["shop"]\n'
            '[tool.setuptools.dynamic]\ndependencies = {file = ["deps.txt"]}\n',
            "deps.txt": "left-pad\n",
        },
    ],
    ids=["setup.py", "setup.cfg", "dynamic"],
)  # fmt: skip
def test_dependencies_that_only_the_backend_knows(project: Project, files: dict[str, str]) -> None:
    """The project is locked and installed as a package, which brings them."""
    project.write({**files, "shop.py": ""})
    done = project.run("lock")
    assert done.returncode == 0, done.stderr
    facts = project.commit().pack()
    assert "  left-pad 1.0\n  shop 1\n" in project.run("inspect", facts["path"]).stdout


def test_a_computed_name_is_refused_with_a_way_out(project: Project) -> None:
    setup = "from setuptools import setup\nsetup(name='x' + 'y', version='1')\n"
    project.write({"requirements.in": "-e ./lib\n", "lib/setup.py": setup})
    done = project.run("lock")
    assert done.returncode == 2
    assert "hint: add to lib/setup.cfg:\n  [metadata]\n  name = NAME" in done.stderr
    project.write({"lib/setup.cfg": "[metadata]\nname = xy\n"})
    assert project.run("lock").returncode == 0


def test_a_package_with_a_url_on_some_platforms_alone(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "shop"\ndependencies = ["fast==3"]\n')
    (tmp_path / "uv.lock").write_text(
        '[[package]]\nname = "shop"\nsource = {virtual = "."}\n[package.metadata]\nrequires-dist = [\n'
        '{name = "fast", marker = "sys_platform == \'linux\'", url = "https://example.org/fast-3.whl"},\n'
        '{name = "fast", marker = "sys_platform != \'linux\'", specifier = "==3"},\n]\n'
    )
    assert uv_lock.stale("uv.lock", tmp_path, ()) == ""

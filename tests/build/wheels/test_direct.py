"""Packages that no index has: git commits, URLs, folders of the same repository; and monorepos."""

import base64
import hashlib
import json
import re
import zipfile
from pathlib import Path

import pytest

from fapbuild.wheels import local_urls
from tests.parts.project import PYPROJECT, Project
from tests.parts.source_package import below, package
from tests.parts.webserver import serve
from tests.parts.wheelhouse import make_wheel


def wheels(project: Project, path: str) -> dict[str, str]:
    facts = json.loads(project.run("inspect", "--json", path).stdout)
    return {wheel["file"]: wheel["sha256"] for wheel in facts["wheels"]}


@pytest.fixture
def upstream(tmp_path: Path, local_env: dict[str, str]) -> Project:
    """A git repository with the package `forked`."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    return Project(folder, local_env).commit(package("forked"))


def test_a_branch_is_locked_to_its_commit_and_built_once(project: Project, upstream: Project) -> None:
    first = upstream.git("rev-parse", "HEAD")
    url = f"git+file://{upstream.folder}"
    project.commit({"requirements.in": f"forked @ {url}@main\n"})
    assert project.run("lock").returncode == 0
    text = (project.folder / "requirements.txt").read_text()
    assert f"@{first}\n" in text
    assert "WARNING" not in text
    facts = project.commit().pack()
    assert "building forked from git+" in facts["talk"]
    assert "warning" not in facts["talk"]
    found = wheels(project, facts["path"])
    assert sorted(found) == ["forked-1.0-py3-none-any.whl", "left_pad-1.0-py3-none-any.whl"]
    assert project.run("verify", facts["path"]).returncode == 0
    upstream.commit({"value.txt": "two"})
    again = project.pack("--version=2")
    assert "building" not in again["talk"]
    assert wheels(project, again["path"]) == found
    project.run("lock")
    assert f"@{upstream.git('rev-parse', 'HEAD')}\n" in (project.folder / "requirements.txt").read_text()
    assert wheels(project, project.commit().pack()["path"]) != found


def test_a_branch_that_is_not_there(project: Project, upstream: Project) -> None:
    project.commit({"requirements.in": f"forked @ git+file://{upstream.folder}@mian\n"})
    done = project.run("lock")
    assert done.returncode != 0
    assert "mian" in done.stderr
    assert "hint: " in done.stderr


def test_a_url_with_its_hash(project: Project, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "far", "faraway")
    with serve() as site:
        site.files[f"/{wheel.name}"] = wheel.read_bytes()
        project.commit({"requirements.in": f"faraway @ {site.url}/{wheel.name}\n"})
        assert project.run("lock").returncode == 0
        path = project.commit().pack()["path"]
        assert list(wheels(project, path)) == [wheel.name]
        text = (project.folder / "requirements.txt").read_text()
        project.commit({"requirements.txt": re.sub("sha256:.{64}", f"sha256:{'0' * 64}", text)})
        done = project.run("pack")
        assert done.returncode == 1
        assert "DO NOT MATCH THE HASHES" in done.stderr


MONO = {
    ".gitignore": "__pycache__/\n",  # pip imports the library's own backend in place
    **below("libs/shared", package("shared")),
    "apps/web/pyproject.toml": PYPROJECT,
    "apps/web/app.py": "import shared\n",
    "apps/web/requirements.in": "../../libs/shared\n",
    "apps/other/secret.py": "",
}


@pytest.fixture
def mono(tmp_path: Path, local_env: dict[str, str]) -> tuple[Project, Project]:
    """A repository with two apps and a library: the whole of it, and the app `web`."""
    folder = tmp_path / "mono"
    folder.mkdir()
    whole = Project(folder, local_env).commit(MONO)
    return whole, Project(folder / "apps" / "web", local_env)


def test_an_app_of_a_monorepo_with_a_library_beside_it(mono: tuple[Project, Project]) -> None:
    whole, web = mono
    unlocked = web.pack("--version=0")
    assert "requirements.txt is not committed" in unlocked["talk"]
    assert web.run("lock").returncode == 0
    assert "shared @ ../../libs/shared\n" in (web.folder / "requirements.txt").read_text()
    facts = whole.commit() and web.pack()
    assert "warning" not in facts["talk"]
    assert wheels(web, facts["path"]) == wheels(web, unlocked["path"])
    manifest = json.loads(web.run("inspect", "--json", facts["path"]).stdout)
    assert not [file for file in map(str, manifest["files"]) if "secret" in file or "libs" in file]

    whole.commit({"apps/other/secret.py": "changed"})
    assert wheels(web, web.pack("--version=3")["path"]) == wheels(web, facts["path"])
    whole.commit({"libs/shared/value.txt": "two"})
    changed = web.pack("--version=4")
    assert "building shared from ../../libs/shared" in changed["talk"]
    assert wheels(web, changed["path"]) != wheels(web, facts["path"])
    assert web.git("status", "--porcelain") == ""
    old = web.pack("--ref=HEAD~1", "--version=5")
    assert "building" not in old["talk"]
    assert wheels(web, old["path"]) == wheels(web, facts["path"])


@pytest.mark.parametrize("arguments", [[], ["--allow-dirty"]])
def test_a_library_with_changes_is_refused(mono: tuple[Project, Project], arguments: list[str]) -> None:
    whole, web = mono
    whole.write({"libs/shared/value.txt": "uncommitted"})
    done = web.run("pack", *arguments)
    assert done.returncode == 2
    assert "libs/shared/value.txt" in done.stderr
    assert web.run("pack", "--ref=HEAD").returncode == 0


def test_the_project_itself_can_be_a_package(project: Project) -> None:
    files = package("shop")
    files["pyproject.toml"] += PYPROJECT
    project.commit({**files, "requirements.in": ".\n"})
    path = project.pack()["path"]
    assert "shop-1.0-py3-none-any.whl" in wheels(project, path)


@pytest.mark.parametrize("path", ["../elsewhere", "../../../outside", "./absent"])
def test_a_path_that_is_not_in_the_repository(mono: tuple[Project, Project], path: str) -> None:
    whole, web = mono
    whole.commit({"apps/web/requirements.in": f"{path}\n"})
    done = web.run("pack")
    assert done.returncode == 2
    assert "is required, but it is not committed" in done.stderr


def test_a_wheel_does_not_name_the_folder_of_its_build(tmp_path: Path) -> None:
    """Poetry writes a path dependency with its place on the builder."""
    metadata = "Name: one\nRequires-Dist: two[x] (>=1) @ file:///tmp/1/two ; python_version < '4'\n"
    metadata += "Requires-Dist: three @ https://x/three.whl\n\nRequires-Dist: a @ file:///b\n"
    wheel = make_wheel(tmp_path, "one")
    with zipfile.ZipFile(wheel) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    info = next(name for name in entries if name.endswith("/METADATA"))
    with zipfile.ZipFile(wheel, "w") as new:
        for name, data in entries.items():
            new.writestr(name, metadata if name == info else data)
    local_urls.remove(wheel)
    with zipfile.ZipFile(wheel) as made:
        assert {
            name: made.read(name) for name in made.namelist() if not name.endswith(("/METADATA", "/RECORD"))
        } == {name: data for name, data in entries.items() if not name.endswith(("/METADATA", "/RECORD"))}
        text = made.read(info)
        assert text.decode() == metadata.replace(" @ file:///tmp/1/two", "", 1)
        record = made.read(info.replace("METADATA", "RECORD")).decode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).decode().rstrip("=")
    assert f"{info},sha256={digest},{len(text)}\n" in record
    before = wheel.read_bytes()
    local_urls.remove(wheel)
    assert wheel.read_bytes() == before


def test_a_uv_workspace(mono: tuple[Project, Project]) -> None:
    """The lock is at the top, and its export reads every member's pyproject.toml."""
    whole, web = mono
    whole.write(
        {
            "pyproject.toml": '[tool.uv.workspace]\nmembers = ["apps/web", "libs/shared"]\n',
            "apps/web/pyproject.toml": (
                '[project]\nname = "web"\nversion = "1"\nrequires-python = ">=3.11"\n'
                'dependencies = ["shared"]\n[tool.uv.sources]\nshared = {workspace = true}\n'
                '[tool.fapbuild]\nlock = "../../uv.lock"\n'
            ),
        }
    )
    (web.folder / "requirements.in").unlink()
    house = web.env["PIP_FIND_LINKS"]
    done = web.run("lock", UV_FIND_LINKS=house, UV_NO_INDEX="1")
    assert (done.returncode, done.stdout) == (0, f"{web.folder / '../../uv.lock'}\n"), done.stderr
    facts = whole.commit() and web.pack()
    assert sorted(wheels(web, facts["path"])) == [
        "left_pad-1.0-py3-none-any.whl",
        "shared-1.0-py3-none-any.whl",
    ]

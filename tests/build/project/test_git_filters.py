"""Files whose content in a checkout is not that of the commit: git LFS, other filters."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from fapbuild.project.git_filters import Pointer, read_pointer
from tests.parts.project import Project
from tests.parts.source_package import below, package

CONTENT = b"a model of 1 MB\n" * 70_000
OID = hashlib.sha256(CONTENT).hexdigest()
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize {len(CONTENT)}\n"
ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


def keep(project: Project, content: bytes = CONTENT) -> Path:
    """Put content where git LFS keeps it, as `git lfs fetch` does."""
    folder = Path(project.git("rev-parse", "--path-format=absolute", "--git-common-dir")) / "lfs/objects"
    place = folder / OID[:2] / OID[2:4] / OID
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def inside(path: str, name: str) -> bytes:
    return subprocess.run(["tar", "xzOf", path, name], check=True, capture_output=True).stdout


def test_a_file_of_git_lfs_is_packed_with_its_content(project: Project) -> None:
    project.commit({".gitattributes": ATTRIBUTES, "model.bin": POINTER, "plain.bin": "not a pointer\n"})
    keep(project)
    path = project.pack()["path"]
    assert inside(path, "model.bin") == CONTENT
    assert inside(path, "plain.bin") == b"not a pointer\n"
    assert project.run("verify", path).returncode == 0


@pytest.mark.parametrize("kept", [None, CONTENT[:-1] + b"x"], ids=["absent", "damaged"])
def test_content_that_is_not_here_is_refused(project: Project, kept: bytes | None) -> None:
    project.commit({".gitattributes": ATTRIBUTES, "data/model.bin": POINTER})
    if kept:
        keep(project, kept)
    done = project.run("pack")
    assert done.returncode == 2
    assert "data/model.bin is in git LFS, and its content is not in this clone" in done.stderr
    assert "hint: git lfs pull --include=data/model.bin; or leave it out: exclude =" in done.stderr
    assert "data/model.bin is in git LFS" in project.run("check").stderr
    text = '[tool.fapbuild]\napp = "shop"\nexclude = ["/data/model.bin"]\n'
    assert project.commit({"pyproject.toml": text}).pack()["path"]


def test_attributes_above_the_project_and_in_a_library_count(
    tmp_path: Path, local_env: dict[str, str]
) -> None:
    whole = Project(tmp_path, local_env)
    shared = below("libs/shared", package("shared", value=POINTER))
    whole.write(shared | {".gitattributes": "libs/**/value.txt filter=lfs\napps/** filter=lfs\n"})
    settings = '[tool.fapbuild]\napp = "web"\n'
    whole.commit({"apps/web/pyproject.toml": settings, "apps/web/model.bin": POINTER})
    web = Project(tmp_path / "apps" / "web", local_env)
    assert "model.bin is in git LFS" in web.run("pack").stderr
    whole.commit({"apps/web/requirements.in": "../../libs/shared\n", "apps/web/model.bin": ""})
    assert "../../libs/shared/value.txt is in git LFS" in web.run("pack").stderr
    keep(whole)
    whole.commit({"apps/web/model.bin": POINTER})
    assert inside(web.pack()["path"], "model.bin") == CONTENT


def test_another_filter_is_refused_by_name(project: Project) -> None:
    """Such as git-crypt: its program is not run, and the file would be packed as it is committed."""
    project.commit({".gitattributes": "*.sec filter=git-crypt\n", "key.sec": "\0GITCRYPT\0"})
    done = project.run("pack")
    assert done.returncode == 2
    assert "key.sec has the git filter 'git-crypt'" in done.stderr
    text = '[tool.fapbuild]\napp = "shop"\nallow = [{path = "/key.sec", reason = "read by the app"}]\n'
    assert inside(project.commit({"pyproject.toml": text}).pack()["path"], "key.sec") == b"\0GITCRYPT\0"


def test_what_archives_of_git_leave_out_is_packed(project: Project) -> None:
    """`export-ignore` and `export-subst` are for `git archive`; an artifact has the files of a checkout."""
    project.commit(
        {".gitattributes": "a.txt export-ignore\nb.txt export-subst\n", "a.txt": "a", "b.txt": "$Format:%H$"}
    )
    path = project.pack()["path"]
    assert (inside(path, "a.txt"), inside(path, "b.txt")) == (b"a", b"$Format:%H$")


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        (POINTER, Pointer(OID, len(CONTENT))),
        (POINTER.replace("oid", "ext-0-x sha256:1\noid"), Pointer(OID, len(CONTENT))),
        (POINTER + "more\n", None),
        ("", None),
        ("x" * 2000, None),
    ],
)
def test_a_pointer(tmp_path: Path, text: str, pointer: Pointer | None) -> None:
    (tmp_path / "file").write_text(text)
    assert read_pointer(tmp_path / "file") == pointer


def test_a_hook_of_another_repository_names_no_files(project: Project, tmp_path: Path) -> None:
    """git sets such variables for hooks; fapbuild packs the folder that it runs in."""
    (tmp_path / "other").mkdir()
    Project(tmp_path / "other").commit({"pyproject.toml": '[tool.fapbuild]\napp = "other"\n'})
    git_dir = tmp_path / "other" / ".git"
    facts = project.pack(
        GIT_DIR=str(git_dir), GIT_INDEX_FILE=str(git_dir / "index"), GIT_WORK_TREE=str(git_dir.parent)
    )
    assert facts["app"] == "shop"


def test_a_post_commit_hook_of_a_worktree(project: Project, tmp_path: Path) -> None:
    project.git("worktree", "add", "--quiet", str(tmp_path / "tree"), "-b", "side")
    tree = Project(tmp_path / "tree", project.env)
    hook = project.folder / ".git/hooks/post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ncd {tree.folder} && exec env\n")
    hook.chmod(0o755)
    tree.write({"new.txt": "x"}).git("add", "--all")
    done = subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--quiet", "--message=x"],
        cwd=tree.folder,
        env={**os.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (done.stdout + done.stderr).splitlines()
    given = dict(line.partition("=")[::2] for line in lines if line.startswith("GIT_"))
    assert "GIT_DIR" in given
    path = tree.pack("--allow-unpushed", **given)["path"]
    assert inside(path, "new.txt") == b"x"


@pytest.mark.parametrize("ignored", ["dist/\n", "*\n!*.py\n!*.toml\n!.gitignore\n", ""])
def test_changes_are_packed_beside_an_output_that_git_ignores(project: Project, ignored: str) -> None:
    project.commit({".gitignore": ignored})
    project.pack()
    project.write({"app.py": "changed\n"})
    assert project.run("check").returncode == 1
    path = project.pack("--allow-dirty")["path"]
    assert inside(path, "app.py") == b"changed\n"
    assert (
        "dist" not in subprocess.run(["tar", "tzf", path], check=True, capture_output=True, text=True).stdout
    )

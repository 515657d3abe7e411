"""Which files of a git repository are packed, and what is refused."""

import tarfile
from pathlib import Path

import pytest

from artifact_store.artifact.archive import read_manifest
from artifact_store.core.errors import FapError, UsageError
from fapbuild.guards.files import check_clean, check_names
from fapbuild.project import procfile
from fapbuild.project.git_tree import SourceFile, parse_listing, repository_url
from fapbuild.project.version import default_version
from tests.parts.project import COMMITTED, PYPROJECT, Project

OID = "a" * 40


def project_files(path: str) -> list[str]:
    own = (".fap/", "requirements.lock", "install.sh", "wheels/")
    with tarfile.open(path) as tar:
        return [name for name in tar.getnames() if not name.startswith(own)]


def test_the_default_version_is_time_and_name_of_the_commit() -> None:
    commit = "0123456789abcdef" * 2
    assert default_version(commit, COMMITTED) == "20260102010405-0123456789ab"
    assert default_version(commit, 0, "fedcba9876") == "19700101000000-0123456789ab+dirty.fedcba98"


def test_only_what_is_committed_is_packed(project: Project) -> None:
    project.write({".gitignore": "ignored\ndist/\n"}).commit()
    project.write({"ignored": "x"})
    facts = project.pack()
    assert project_files(facts["path"]) == [".gitignore", "app.py", "pyproject.toml"]
    manifest = read_manifest(Path(facts["path"]))
    assert manifest.commit == project.git("rev-parse", "HEAD")
    assert (manifest.epoch, manifest.dirty, manifest.repository) == (COMMITTED, False, "")


def test_a_changed_tree_is_refused_with_what_changed(project: Project) -> None:
    project.write({"app.py": "print('changed')\n", "new.py": ""})
    done = project.run("pack")
    assert done.returncode == 2
    assert "   M app.py\n  ?? new.py\n" in done.stderr
    assert "hint: commit them, or add them to .gitignore" in done.stderr
    assert not (project.folder / "dist").exists()


def test_the_output_folder_does_not_count_as_a_change(project: Project) -> None:
    assert project.pack()["digest"] == project.pack()["digest"]
    assert project.git("status", "--porcelain") == "", "the folder keeps itself out of git"


def test_a_dirty_tree_can_be_packed_on_purpose(project: Project) -> None:
    project.write({"new.py": "new", "app.py": "changed", ".gitignore": "secret\n", "secret": "x"})
    before = project.git("status", "--porcelain", "--", "*.py")
    facts = project.pack("--allow-dirty")
    assert project_files(facts["path"]) == [".gitignore", "app.py", "new.py", "pyproject.toml"]
    assert "+dirty." in facts["version"]
    assert read_manifest(Path(facts["path"])).dirty
    assert project.pack("--allow-dirty")["digest"] == facts["digest"]
    assert project.git("status", "--porcelain", "--", "*.py") == before
    project.write({"new.py": "newer"})
    assert project.pack("--allow-dirty")["version"] != facts["version"]


def test_allow_dirty_with_a_clean_tree_is_an_ordinary_build(project: Project) -> None:
    assert project.pack("--allow-dirty")["digest"] == project.pack()["digest"]


def test_a_ref_is_packed_whatever_lies_in_the_tree(project: Project) -> None:
    wanted = project.pack()["digest"]
    project.git("tag", "v1")
    project.commit({"app.py": "second"}).write({"app.py": "third"})
    assert project.pack("--ref", "v1")["digest"] == wanted


def test_an_unknown_ref(project: Project) -> None:
    done = project.run("pack", "--ref=v9")
    assert done.returncode == 2
    assert "'v9' is not a commit in this repository" in done.stderr


def test_no_repository_and_no_commit(tmp_path: Path) -> None:
    project = Project(tmp_path).write({"pyproject.toml": PYPROJECT})
    ceiling = {"GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    done = project.run("pack", **ceiling)
    assert done.returncode == 1
    assert f"{tmp_path} is not in a git repository" in done.stderr
    assert "git init && git add --all && git commit" in done.stderr
    project.git("init", "--quiet")
    assert "'HEAD' is not a commit" in project.run("pack", "--allow-dirty", **ceiling).stderr


def test_a_project_in_a_folder_of_its_repository(tmp_path: Path, build_env: dict[str, str]) -> None:
    whole = Project(tmp_path).commit(
        {"README": "", "apps/shop/pyproject.toml": PYPROJECT, "apps/shop/a.py": ""}
    )
    shop = Project(tmp_path / "apps" / "shop", build_env)
    facts = shop.pack()
    assert project_files(facts["path"]) == ["a.py", "pyproject.toml"]
    whole.write({"README": "another project's change"})
    assert shop.pack()["digest"] == facts["digest"]
    shop.write({"a.py": "changed"})
    assert "+dirty." in shop.pack("--allow-dirty")["version"]


def test_files_keep_their_bytes_links_and_modes(project: Project) -> None:
    project.write(
        {"run.sh": "#!/bin/sh\r\n", ".gitattributes": "* text=auto\nx export-ignore\n", "x": b"\0\n"}
    )
    (project.folder / "run.sh").chmod(0o755)
    (project.folder / "deep").mkdir()
    (project.folder / "deep" / "link").symlink_to("../app.py")
    (project.folder / "dangling").symlink_to("./not/there")
    path = project.commit().pack()["path"]
    with tarfile.open(path) as tar:
        assert tar.getmember("run.sh").mode == 0o755
        assert tar.getmember("app.py").mode == 0o644
        assert tar.getmember("deep/link").linkname == "../app.py"
        assert tar.getmember("dangling").linkname == "./not/there"
        file = tar.extractfile("x")
        assert file is not None
        assert file.read() == b"\0\n"
    modes = {file.path: oct(file.mode) for file in read_manifest(Path(path)).files}
    assert (modes["run.sh"], modes["deep/link"]) == ("0o755", "0o120777")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "deep/../../outside", "here/.."])
def test_links_that_leave_the_project_are_refused(project: Project, target: str) -> None:
    (project.folder / "here").symlink_to(".")
    (project.folder / "link").symlink_to(target)
    done = project.commit().run("pack")
    assert done.returncode == 1
    assert f"the symbolic link link -> {target} points outside the project" in done.stderr


def test_links_that_are_left_out_may_lead_anywhere(project: Project) -> None:
    (project.folder / "link").symlink_to("/etc/passwd")
    project.commit({"pyproject.toml": PYPROJECT + 'exclude = ["/link"]\n'})
    assert "link" not in project_files(project.pack()["path"])


def test_a_submodule_is_refused_unless_it_is_left_out(project: Project, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Project(other).commit({"a": ""})
    project.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "lib")
    done = project.commit().run("pack")
    assert done.returncode == 2
    assert "lib is a git submodule" in done.stderr
    assert 'exclude = ["/lib/"]' in done.stderr
    project.commit({"pyproject.toml": PYPROJECT + 'exclude = ["/lib/"]\n'})
    assert "lib" not in project_files(project.pack()["path"])


def test_a_listing_is_read_and_sorted() -> None:
    lines = (f"100755 blob {OID}      12\tb c", f"120000 blob {OID}       3\ta", f"100644 blob {OID} 0\tB")
    listing = "".join(f"{line}\0" for line in lines).encode()
    assert parse_listing(listing) == (
        SourceFile("B", 0o644, 0, OID),
        SourceFile("a", 0o120777, 0, OID),
        SourceFile("b c", 0o755, 12, OID),
    )


@pytest.mark.parametrize("name", [b"../up", b"a/../b", b"a//b", b"new\nline", b"latin\xe9"])
def test_hostile_names_are_refused(name: bytes) -> None:
    with pytest.raises(FapError):
        parse_listing(f"100644 blob {OID} 0\t".encode() + name + b"\0")


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("git@github.com:me/shop.git", "https://github.com/me/shop"),
        ("ssh://git@GitHub.com:22/me/shop.git", "https://github.com/me/shop"),
        ("https://me:secret@github.com/me/shop.git/", "https://github.com/me/shop"),
        ("https://github.com/me/shop", "https://github.com/me/shop"),
        ("/srv/git/shop.git", ""),
        ("../shop", ""),
        ("file:///srv/shop.git", ""),
    ],
)
def test_a_remote_has_one_spelling_and_no_secret(remote: str, url: str) -> None:
    assert repository_url(remote) == url


def test_a_clean_tree_passes() -> None:
    check_clean(())


def test_many_changes_are_counted() -> None:
    with pytest.raises(UsageError, match="and 3 more"):
        check_clean([f"?? {number}" for number in range(8)])


@pytest.mark.parametrize("path", ["install.sh", "requirements.lock", "wheels/a", ".fap/run", "venv/bin/x"])
def test_names_of_the_artifact_are_taken(path: str) -> None:
    with pytest.raises(UsageError, match="is reserved") as caught:
        check_names(["a", path], own_installer=False)
    assert caught.value.hint


def test_an_own_installer_must_be_there() -> None:
    check_names(["install.sh"], own_installer=True)
    with pytest.raises(UsageError, match=r"no install\.sh is committed"):
        check_names(["other"], own_installer=True)


@pytest.mark.parametrize("pair", [("a/B", "a/b"), ("Docs/x", "docs/y"), ("caf\u00e9", "cafe\u0301")])
def test_names_that_collide_on_some_disks(pair: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="are the same name on file systems that ignore case"):
        check_names(pair, own_installer=False)


@pytest.mark.parametrize(
    "path", ["a\x1b[2J", "a\x7f", "a\u009b2J", "a\u202egnp.exe", "a\\b", "n" * 1100, "a/" * 101 + "a"]
)
def test_names_that_no_host_accepts(path: str) -> None:
    with pytest.raises(UsageError, match="the name '") as caught:
        check_names([path], own_installer=False)
    assert caught.value.message.isprintable()
    assert "git mv" in str(caught.value.hint)


def test_a_link_that_no_host_accepts(project: Project) -> None:
    (project.folder / "docs").mkdir()
    (project.folder / "docs/a").symlink_to("../docs/../README")
    project.commit({"README": "x", "docs/b": "x"})
    done = project.run("pack")
    assert done.returncode == 1
    assert "'docs/a' points outside the folder, or has '..' after a name" in done.stderr


def test_the_procfile_is_in_the_manifest(project: Project) -> None:
    project.commit({"Procfile": "# processes\nweb: serve 'a b' --port $PORT\n\nworker-1:  run  \n"})
    manifest = read_manifest(Path(project.pack()["path"]))
    assert manifest.processes == {"web": "serve 'a b' --port $PORT", "worker-1": "run"}


@pytest.mark.parametrize("text", ["web gunicorn", "web:", "we b: x", "web: a\nweb: b"])
def test_a_wrong_procfile_names_its_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "Procfile").write_text(f"\n{text}\n")
    with pytest.raises(UsageError, match=r"Procfile line [23] "):
        procfile.read(tmp_path)


def test_text_that_is_not_utf8_is_named(project: Project) -> None:
    done = project.commit({"Procfile": b"web: caf\xe9\n"}).run("pack")
    assert done.returncode == 2
    assert "Procfile is not UTF-8" in done.stderr


def test_the_work_of_a_build_is_removed(project: Project, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    project.pack(TMPDIR=str(tmp_path / "tmp"))
    assert project.commit({".env": ""}).run("pack", TMPDIR=str(tmp_path / "tmp")).returncode == 2
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_repository_is_left_as_it_was(project: Project) -> None:
    project.write({"new.py": "content that only a dirty build has seen"})
    objects = project.git("count-objects", "-v")
    project.pack("--allow-dirty")
    assert project.git("count-objects", "-v") == objects
    assert project.git("diff", "--cached", "--name-only") == ""

"""A repository whose own `.git` is hostile runs nothing when fapbuild reads it."""

import subprocess
from pathlib import Path

import pytest

from artifact_store.core import git
from artifact_store.views import commits
from tests.parts.project import PYPROJECT, Project

HOOKS = (
    "post-index-change",
    "pre-commit",
    "post-checkout",
    "reference-transaction",
    "pre-auto-gc",
    "fsmonitor-watchman",
)
# What git runs for some command, by the setting that names it.
SETTINGS = {
    "core.fsmonitor": "{}",
    "core.hooksPath": "{}",
    "core.sshCommand": "{}",
    "core.pager": "{}",
    "pager.log": "{}",
    "core.editor": "{}",
    "core.askPass": "{}",
    "core.gitProxy": "{}",
    "core.alternateRefsCommand": "{}",
    "gpg.program": "{}",
    "log.showSignature": "true",
    "diff.external": "{}",
    "diff.evil.textconv": "{}",
    "diff.evil.command": "{}",
    "credential.helper": "!{}",
    "remote.origin.uploadpack": "{}",
    "submodule.recurse": "true",
    "status.submoduleSummary": "true",
}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program that leaves a mark beside itself."""
    made = tmp_path / "evil"
    made.write_text(f'#!/bin/sh\necho "$0 $*" >>{tmp_path}/ran\nexec cat\n')
    made.chmod(0o755)
    return made


def ran(program: Path) -> str:
    mark = program.with_name("ran")
    return mark.read_text() if mark.exists() else ""


def spoil(repository: Path, program: Path) -> None:
    """Every setting and hook in the repository's own folder."""
    folder = Path(
        subprocess.check_output(["git", "rev-parse", "--absolute-git-dir"], cwd=repository, text=True).strip()
    )
    for key, value in SETTINGS.items():
        subprocess.run(["git", "config", "--file", folder / "config", key, value.format(program)], check=True)
    (folder / "hooks").mkdir(exist_ok=True)
    for name in HOOKS:
        (folder / "hooks" / name).write_bytes(program.read_bytes())
        (folder / "hooks" / name).chmod(0o755)
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info/attributes").write_text("* diff=evil\n")


COMMANDS = [
    ("check",),
    ("pack", "--json"),
    ("pack", "--json", "--allow-dirty"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_its_settings_and_hooks_run_nothing(project: Project, program: Path, words: tuple[str, ...]) -> None:
    spoil(project.folder, program)
    subprocess.run(["git", "status"], cwd=project.folder, capture_output=True)
    assert "evil" in ran(program), "git itself runs them"
    program.with_name("ran").unlink()
    if "--allow-dirty" in words:
        project.write({"new.py": "1", "app.py": "2"})
    done = project.run(*words)
    assert ran(program) == ""
    assert "evil" not in done.stderr


def test_neither_do_commits_that_are_compared(project: Project, program: Path) -> None:
    first = project.git("rev-parse", "HEAD")
    second = project.commit({"app.py": "2"}).git("rev-parse", "HEAD")
    spoil(project.folder, program)
    found = commits.between(first, second, project.folder)
    assert found
    assert [each.id for each in found.ahead] == [second]
    assert ran(program) == ""


@pytest.mark.parametrize("name", ["filter.evil.clean", "filter.evil.process", "lfs.extension.evil.clean"])
@pytest.mark.parametrize("words", [("check",), ("pack",), ("pack", "--allow-dirty")], ids=" ".join)
def test_its_filters_are_refused_by_name(
    project: Project, program: Path, words: tuple[str, ...], name: str
) -> None:
    project.commit({".gitattributes": "*.py filter=evil\n"})
    project.git("config", name, str(program))
    project.write({"app.py": "2"})
    done = project.run(*words)
    assert done.returncode
    assert ran(program) == ""
    assert f"{name}={program}" in done.stderr + done.stdout
    assert "git config --global" in done.stderr + done.stdout


def test_filters_of_the_user_and_those_of_a_trusted_checkout_run(project: Project, tmp_path: Path) -> None:
    upper = "tr a-z A-Z"
    project.commit({".gitattributes": "*.txt filter=upper\n"})
    project.write({"a.txt": "word"})
    (tmp_path / "gitconfig").write_text(f'[filter "upper"]\n\tclean = {upper}\n')
    mine = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    assert project.run("pack", "--allow-dirty", **mine).returncode == 0
    project.git("config", "filter.upper.clean", upper)
    assert project.run("pack", "--allow-dirty").returncode == 2
    assert project.run("pack", "--allow-dirty", FAP_TRUST="1").returncode == 0


def test_git_lfs_of_the_repository_alone_is_no_danger(project: Project) -> None:
    project.git("config", "filter.lfs.clean", "git-lfs clean -- %f")
    project.git("config", "filter.lfs.process", "git-lfs filter-process")
    project.git("config", "filter.lfs.smudge", "git-lfs smudge -- %f")
    project.pack()
    project.git("config", "filter.lfs.process", "git-lfs filter-process; id")
    assert "filter.lfs.process" in project.run("pack").stderr


def test_a_hostile_submodule_runs_nothing(project: Project, program: Path, tmp_path: Path) -> None:
    other = Project(tmp_path / "other").write({"a.py": "1"}).commit()
    project.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.folder), "part")
    project.commit()
    inner = project.folder / "part"
    spoil(inner, program)
    for key in ("filter.evil.clean", "filter.evil.process"):
        subprocess.run(["git", "config", key, program], cwd=inner, check=True)
    (inner / ".gitattributes").write_text("* filter=evil\n")
    (inner / "a.py").write_text("2")
    for words in COMMANDS:
        project.run(*words)
        assert ran(program) == "", words


def test_a_partial_clone_fetches_nothing_with_the_commands_of_its_configuration(
    project: Project, program: Path, tmp_path: Path
) -> None:
    project.git("config", "uploadpack.allowFilter", "true")
    source = f"file://{project.folder}"
    subprocess.run(
        ["git", "clone", "-q", "--filter=blob:none", "--no-checkout", source, tmp_path / "part"], check=True
    )
    part = Project(tmp_path / "part")
    part.write({"pyproject.toml": PYPROJECT})
    part.git("read-tree", "HEAD")
    part.git("update-index", "--skip-worktree", "app.py")
    part.git("config", "remote.origin.uploadpack", str(program))
    done = part.run("pack")
    assert done.returncode == 2
    assert "this is a partial clone" in done.stderr
    assert ran(program) == ""


def test_a_folder_of_a_commit_that_looks_like_a_repository_is_none(project: Project, program: Path) -> None:
    inner = project.folder / "inner"
    subprocess.run(["git", "init", "-q", "--bare", inner], check=True)
    for key, value in (
        ("core.bare", "false"),
        ("core.worktree", str(inner)),
        ("core.fsmonitor", str(program)),
    ):
        subprocess.run(["git", "config", "--file", inner / "config", key, value], check=True)
    (inner / "pyproject.toml").write_text(PYPROJECT)
    Project(inner).run("check")
    Project(inner).run("pack")
    assert ran(program) == ""


def test_a_lock_reads_no_configuration_of_the_repository(
    project: Project, program: Path, tmp_path: Path
) -> None:
    spoil(project.folder, program)
    project.git("config", "protocol.ext.allow", "always")
    project.git("config", f"url.ext::{program} .insteadOf", "https://example.invalid/")
    lines = "shop @ git+https://example.invalid/shop.git\nother @ git+ssh://git@127.0.0.1:1/other.git\n"
    project.write({"requirements.in": lines})
    done = project.run("lock")
    assert done.returncode
    assert ran(program) == ""


def test_a_name_of_git_is_shown_without_its_options() -> None:
    assert git.without_options(git.command("-c", "a=b", "status", "-z")) == ["git", "status", "-z"]

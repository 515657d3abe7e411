"""Scripts that write into the folder of a release leave what is outside it alone."""

import subprocess
from pathlib import Path

import pytest

from faprelease.steps.model import Step, host_script

SHELLS = [["sh"], ["busybox", "sh"], ["bash", "--posix"]]


@pytest.fixture(params=SHELLS, ids=" ".join)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return list(request.param)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """The folder of an app with one unpacked release, and a photo in shared/."""
    (tmp_path / "releases/260101-000000").mkdir(parents=True)
    (tmp_path / ".fap").mkdir()
    (tmp_path / "shared/media/cache").mkdir(parents=True)
    (tmp_path / "shared/media/cache/photo").write_text("kept")
    return tmp_path


def run(shell: list[str], step: Step) -> tuple[int, str]:
    done = subprocess.run(
        [*shell, "-c", step.script], input=str(step.stdin), stdout=-1, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def link(app: Path, *names: str) -> Step:
    release = f"{app}/releases/260101-000000"
    return host_script(
        "link", "release/link", stdin="\n".join(names) + "\n", release=release, shared=f"{app}/shared"
    )


def prepare(app: Path, *folders: str, writable: str = "") -> Step:
    return host_script(
        "prepare",
        "release/prepare",
        stdin="".join(f"{folder}\n" for folder in folders),
        state=f"{app}/.fap",
        release=f"{app}/releases/260102-000000",
        current=f"{app}/current",
        shared=f"{app}/shared",
        shared_writable=writable,
    )


def test_nothing_is_linked_below_a_link(app: Path, shell: list[str]) -> None:
    """Settings refuse such names; an artifact may still bring a folder that is a link."""
    code, said = run(shell, link(app, "media", "media/cache"))
    assert (code, said) == (
        1,
        f"{app}/releases/260101-000000/media is a link, so media/cache would not be in the release\n",
    )
    assert (app / "shared/media/cache/photo").read_text() == "kept"


def test_an_environment_file_is_not_written_through_a_link(app: Path, shell: list[str]) -> None:
    run(shell, link(app, "media"))
    release = app / "releases/260101-000000"
    step = host_script(
        "write", "release/environment", stdin="A=1\n", release=str(release), file=f"{release}/media/.env"
    )
    code, said = run(shell, step)
    assert (code, said) == (1, f"{release}/media is a link, so media/.env would not be in the release\n")
    assert not (app / "shared/media/.env").exists()


@pytest.mark.parametrize(("writable", "mode"), [("yes", 0o775), ("", 0o755)])
def test_shared_folders_that_are_made_honour_shared_writable(
    app: Path, shell: list[str], writable: str, mode: int
) -> None:
    done = run(shell, prepare(app, "log", "a/b/", "media", writable=writable))
    assert done == (0, "")
    for name in ("log", "a", "a/b"):
        assert (app / "shared" / name).stat().st_mode & 0o777 == mode, name
    assert (app / "shared/media").stat().st_mode & 0o777 == 0o755
    assert (app / "releases/260102-000000").stat().st_mode & 0o777 == 0o755


def test_a_shared_folder_that_is_a_dangling_link_is_reported(app: Path, shell: list[str]) -> None:
    (app / "shared/log").symlink_to("/mnt/nothing")
    assert run(shell, prepare(app, "log")) == (
        1,
        f"{app}/shared/log links to /mnt/nothing, which is missing\n",
    )


def test_files_that_can_not_be_removed_are_named_and_the_others_go(app: Path, shell: list[str]) -> None:
    """The tests run as root, so a mounted folder stands for files of another user."""
    for name in ("260101-000000", "260102-000000", "260103-000000"):
        (app / "releases" / name).mkdir(exist_ok=True)
    stuck = app / "releases/260101-000000/stuck"
    stuck.mkdir()
    trash = f"{app}/releases/.trash-260101-000000"
    (app / "current").symlink_to("releases/260103-000000")
    step = host_script(
        "remove",
        "release/remove",
        stdin="260101-000000\n260102-000000\n",
        releases=f"{app}/releases",
        records=f"{app}/.fap/releases",
        state=f"{app}/.fap",
        current=f"{app}/current",
        run=f"{app}/run",
        forget="",
    )
    subprocess.run(["mount", "-t", "tmpfs", "none", stuck], check=True)
    try:
        code, said = run(shell, step)
        assert code == 1
        assert said.endswith(
            f"remove files of another user by hand: sudo chattr -R -i {trash}; sudo rm -rf {trash}\n"
        )
        assert names(app / "releases") == [".trash-260101-000000", "260103-000000"]
        assert run(shell, step)[0] == 1
    finally:
        subprocess.run(["umount", f"{trash}/stuck"], check=True)
    assert run(shell, step) == (0, "")
    assert names(app / "releases") == ["260103-000000"]

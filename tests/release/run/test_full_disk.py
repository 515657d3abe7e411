"""A full disk on a host stands in the way of a release, and never of a rollback."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faprelease.errors import FapError
from tests.parts.site import Site, artifact


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Version 2 is live, after version 1, on a small disk."""
    made = Site(tmp_path)
    made.configure("linked_dirs: [log]")
    made.path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m,nr_inodes=2k", "tmpfs", made.path], check=True)
    try:
        for version in ("1", "2"):
            made.release(artifact(tmp_path / version, version))
        yield made
    finally:
        subprocess.run(["umount", "--lazy", made.path], check=True)


def fill(site: Site) -> None:
    """As a log does that nobody rotates."""
    with (site.path / "shared/log/error.log").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                return


def use_all_inodes(site: Site) -> None:
    for number in range(4000):
        try:
            (site.path / f"shared/log/{number}").touch()
        except OSError:
            return
    raise AssertionError("there is no limit")


@pytest.mark.parametrize("exhaust", [fill, use_all_inodes])
def test_a_rollback_works_on_a_full_disk(site: Site, exhaust: Callable[[Site], None]) -> None:
    exhaust(site)
    with pytest.raises(OSError, match="No space left"):
        (site.path / "shared/log/more").write_text("x" * 5000)
    site.rollback()
    assert site.version() == "1"
    assert list(site.states().values()) == ["live", "bad"]
    assert not site.locked()


def test_a_disk_that_is_full_again_is_named(site: Site) -> None:
    fill(site)
    site.rollback()
    fill(site)
    with pytest.raises(FapError, match=f"the disk is full, or has no inodes left, at {site.path}/.fap"):
        site.rollback("2", force=True)
    (site.path / "shared/log/error.log").unlink()
    site.rollback("2", force=True)
    assert site.version() == "2"


def test_temporary_files_have_another_place_if_tmpdir_is_missing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", f"{site.folder}/nowhere")
    site.release(artifact(site.folder / "3", "3"))
    assert site.version() == "3"


def test_a_small_tmp_that_is_full_is_passed_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    full = site.folder / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", full], check=True)
    try:
        (full / "it").write_text("x")
        monkeypatch.setenv("TMPDIR", str(full))
        site.release(artifact(site.folder / "3", "3"))
        assert os.listdir(full) == ["it"]  # noqa: PTH208
    finally:
        subprocess.run(["umount", "--lazy", full], check=True)
    assert site.version() == "3"

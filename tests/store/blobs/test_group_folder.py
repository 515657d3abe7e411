"""A folder that several users write to, and a folder with parts on other file systems."""

import grp
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from artifact_store.blobs import doctor
from artifact_store.blobs.bucket_rules import StorageSettings, findings
from artifact_store.blobs.open import make_store, open_blobs
from artifact_store.core.errors import StoreError
from tests.parts.fapstore_command import Cli
from tests.parts.tgz import tgz


def now() -> datetime:
    return datetime.now(UTC)


GROUP = grp.getgrgid(os.getgid()).gr_name


def test_a_folder_of_a_group_whatever_the_umask(tmp_path: Path) -> None:
    store = tmp_path / "store"
    cli = Cli(tmp_path, f"{store}")
    assert "is a store" in cli("init", "--group", GROUP).stderr
    before = os.umask(0o077)
    try:
        cli.out("push", tgz(tmp_path, version="1"))
        cli.out("promote", "shop", "1", "production")
    finally:
        os.umask(before)
    folders = [store, *(path for path in store.rglob("*") if path.is_dir())]
    assert len(folders) > 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o2775}
    files = [path for path in store.rglob("*.*") if path.is_file() and path.name != ".fapstore"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o444}
    assert {path.stat().st_gid for path in [*folders, *files]} == {os.getgid()}


def test_a_folder_that_the_group_can_not_write_is_named(tmp_path: Path) -> None:
    store = tmp_path / "store"
    make_store(str(store), GROUP)
    assert "group" not in {found.check for found in doctor.examine(open_blobs(str(store)), now)}
    (store / "shop" / "stages").mkdir(parents=True)
    (store / "shop").chmod(0o2775)
    (store / "shop" / "stages").chmod(0o755)
    (found,) = (found for found in doctor.examine(open_blobs(str(store)), now) if found.check == "group")
    assert (found.verdict, found.says) == ("wrong", "shop/stages: the store's group can't write there")


def test_a_group_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no-such-group is not a group of this machine"):
        make_store(str(tmp_path / "store"), "no-such-group")


def test_a_folder_with_group_modes_that_was_not_made_for_a_group(tmp_path: Path) -> None:
    store = tmp_path / "store"
    make_store(str(store))
    store.chmod(0o2775)
    (found,) = (found for found in doctor.examine(open_blobs(str(store)), now) if found.check == "group")
    assert found.verdict == "note"
    assert "fapstore init --group GROUP" in found.fix


def test_a_part_on_another_file_system_is_found(tmp_path: Path) -> None:
    store = tmp_path / "store"
    make_store(str(store))
    (store / "shop").mkdir()
    (store / "shop" / "artifacts").symlink_to("/proc/self")  # a file system of its own
    (found,) = (
        found for found in doctor.examine(open_blobs(str(store)), now) if found.check == "file system"
    )
    assert found.verdict == "wrong"
    assert found.says.startswith("shop/artifacts: on another file system")
    assert found.fix


def test_of_many_folders_the_first_are_named() -> None:
    settings = StorageSettings(open_to_all=False, elsewhere=("a", "b", "c", "d", "e"))
    (found,) = (found for found in findings(settings) if found.check == "file system")
    assert found.says.startswith("a, b, c and 2 more: on another")


def test_a_doctor_who_may_create_nothing_praises_no_deleting(tmp_path: Path) -> None:
    store = tmp_path / "store"
    make_store(str(store))
    (store / ".incoming").write_text("")  # so that nothing can be written below it, not even by root
    found = [(each.check, each.verdict) for each in doctor.examine(open_blobs(str(store)), now)]
    assert ("access", "wrong") in found
    assert "deleting" not in dict(found)

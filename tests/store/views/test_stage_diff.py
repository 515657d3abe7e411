"""What `fapstore diff` tells of two stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from artifact_store.views import commits
from tests.parts.fapstore_command import Cli
from tests.parts.git_clone import clone, commit
from tests.parts.tgz import tgz

pytestmark = pytest.mark.slow  # runs the command many times in each test

__all__ = ["clone"]


@dataclass(frozen=True)
class Shop:
    cli: Cli
    clone: Path
    commits: tuple[str, ...]


def pushed(cli: Cli, version: str, commit: str, wheels: Mapping[str, bytes]) -> None:
    cli.out("push", tgz(cli.folder, version=version, commit=commit, wheels=wheels))


@pytest.fixture
def shop(tmp_path: Path, clone: Path) -> Shop:
    """Version 1 on production, 3 on staging, 2 between them; each of another commit."""
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    made = tuple(commit(clone, f"Commit {number}") for number in (1, 2, 3))
    old = {"click-8.1-py3-none-any.whl": b"click", "gone-1-py3-none-any.whl": b"gone"}
    new = {"click-8.2-py3-none-any.whl": b"click, later", "new-1-py3-none-any.whl": b"new"}
    for version, id_, wheels in zip("123", made, (old, old, new), strict=True):
        pushed(cli, version, id_, wheels)
    cli.out("promote", "shop", "1", "production")
    cli.out("promote", "shop", "3", "staging")
    return Shop(cli, clone, made)


def test_commits_dependencies_and_sizes(shop: Shop) -> None:
    lines = shop.cli.out("diff", "shop", "staging", "production", "--repository", shop.clone).splitlines()
    first, second, third = (
        f"  + {id_[:12]} Commit {number} (Ann, just now)" for number, id_ in enumerate(shop.commits, 1)
    )
    assert lines[0].startswith("staging     3  ")
    assert lines[1].startswith("production  1  ")
    assert lines[2:5] == ["commits    2 on staging, but not on production", third, second]
    assert first not in lines
    for line in ("  + new 1", "  - gone 1", "  ~ click 8.1 -> 8.2", "versions   1 more in between"):
        assert line in lines
    told = shop.cli.json("diff", "shop", "staging", "production", "--repository", shop.clone)
    assert [found["subject"] for found in told["commits"]["ahead"]] == ["Commit 3", "Commit 2"]
    assert told["commits"]["behind"] == []
    assert told["stored"] == ["2", "3"]
    assert (told["source"]["commit"], told["target"]["version"]) == (shop.commits[2], "1")
    assert told["wheels"]["upgraded"] == [{"name": "click", "before": "8.1", "after": "8.2"}]
    assert 0 < told["download"] <= told["source"]["size"]


def test_the_other_way_round_the_target_is_ahead(shop: Shop) -> None:
    shown = shop.cli.out("diff", "shop", "production", "staging", "--repository", shop.clone)
    assert "commits    0 on production, but not on staging\n" in shown
    assert "           2 on staging, but not on production\n" in shown


def test_without_the_repository_the_commits_are_named(shop: Shop) -> None:
    shown = shop.cli.out("diff", "shop", "staging", "production")
    first, _, third = shop.commits
    assert (
        f"commits    {first[:12]} -> {third[:12]}; run this in a clone of https://example.com/shop.git"
        in shown
    )
    assert shop.cli.json("diff", "shop", "staging", "production")["commits"] is None


def test_the_same_version_on_both(shop: Shop) -> None:
    shop.cli.out("promote", "shop", "--from", "staging", "--to", "production")
    assert "staging and production have the same version\n" in shop.cli.out(
        "diff", "shop", "staging", "production"
    )


def test_a_stage_that_runs_nothing(shop: Shop) -> None:
    refused = shop.cli("diff", "shop", "staging", "qa")
    assert refused.returncode == 1
    assert refused.stderr == (
        "fapstore: shop qa has no version yet\nhint: fapstore promote shop VERSION qa\n"
    )


def test_bytes_of_another_version_are_noticed(shop: Shop) -> None:
    (mine,) = (shop.cli.folder / "store").rglob("shop-3.tgz")
    (other,) = (shop.cli.folder / "store").rglob("shop-1.tgz")
    mine.unlink()
    mine.write_bytes(other.read_bytes())
    refused = shop.cli("diff", "shop", "staging", "production")
    assert refused.returncode == 6
    assert "not the pushed bytes" in refused.stderr


@pytest.mark.s3
def test_on_s3_and_a_hostile_subject(s3_url: str, tmp_path: Path, clone: Path) -> None:
    cli = Cli(tmp_path, s3_url)
    first, second = commit(clone, "One"), commit(clone, "Two\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}")
    pushed(cli, "1", first, {})
    pushed(cli, "2", second, {})
    cli.out("promote", "shop", "1", "production")
    cli.out("promote", "shop", "2", "staging")
    shown = cli.out("diff", "shop", "staging", "production", "--repository", clone)
    assert f"  + {second[:12]} Two\ufffd[2J\ufffd (Ann, just now)" in shown


@pytest.mark.parametrize("id_", ["--output=/tmp/x", "HEAD", "", "a" * 40])
def test_what_is_no_commit_here_is_not_asked_of_git(clone: Path, id_: str) -> None:
    there = commit(clone, "One")
    assert commits.between(id_, there, clone) is None
    assert commits.between(there, id_, clone) is None
    assert commits.between(there, there, clone) == commits.Divergence((), ())

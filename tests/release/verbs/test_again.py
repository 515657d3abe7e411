"""What someone rolled back from is not released again by accident, and the store's stage can follow."""

import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from artifact_store.core.actor import Actor
from faprelease.errors import FapError
from faprelease.plan import saved
from faprelease.report.report import Report
from faprelease.verbs import release
from tests.parts.site import Site, artifact, sha256_of
from tests.parts.store_site import Shop

pytestmark = pytest.mark.slow  # whole releases, one after another

LEFT = "was live with this configuration, and someone rolled back from it: "


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("artifacts")
    return [artifact(folder, str(number)) for number in range(1, 4)]


def go(site: Site, url: str, **request: object) -> None:
    asked = site.request(curl_url=url, curl_sha256=sha256_of(url))
    release.release(replace(asked, **request), Report())


def test_without_a_store_the_records_of_the_hosts_decide(
    site: Site, urls: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    go(site, urls[0])
    go(site, urls[1])
    site.rollback()
    with pytest.raises(FapError, match=LEFT) as refused:
        go(site, urls[1])
    assert refused.value.hint == "release another version; or the same command with --again"
    assert site.version() == "1"
    capsys.readouterr()
    go(site, urls[1], dry_run=True)
    assert "so the release needs --again" in capsys.readouterr().err
    with pytest.raises(FapError, match=LEFT):
        go(site, urls[1], dry_run=True, output=tmp_path / "plan")
    go(site, urls[1], dry_run=True, output=tmp_path / "plan", again=True)
    planned = saved.read(tmp_path / "plan")
    release.apply(planned, saved.request_of(planned, {}, confirmed=True), Report())
    assert site.version() == "2"
    go(site, urls[2])
    go(site, urls[1])  # the last time, nobody rolled back from it
    assert site.version() == "2"


def test_another_configuration_is_another_try(site: Site, urls: list[str]) -> None:
    go(site, urls[0])
    go(site, urls[1])
    site.rollback()
    site.configure("environment: {FIXED: 'yes'}")
    go(site, urls[1])
    assert site.version() == "2"


def test_a_rollback_with_the_current_configuration_counts_too(site: Site, urls: list[str]) -> None:
    go(site, urls[0])
    go(site, urls[1])
    site.rollback(renew=True)
    assert site.version() == "1"
    with pytest.raises(FapError, match=LEFT):
        go(site, urls[1])


@pytest.fixture
def shop(site: Site) -> Shop:
    """Versions 1 and 2 were released from the store, and 2 was rolled back on the host."""
    (site.folder / "store").mkdir()
    site.configure(f"project_name: shop\nstore: file://{site.folder}/store")
    shop = Shop(site)
    for version in "12":
        shop.push(version)
        shop.release()
    return shop


def test_a_new_promotion_is_a_new_decision(shop: Shop) -> None:
    shop.site.rollback()
    with pytest.raises(FapError, match=LEFT):
        shop.release()
    store, ann = shop.store, Actor("ann")
    store.stages.freeze("shop", "production", by=ann, why="look at it")
    store.stages.unfreeze("shop", "production", by=ann, why="")
    with pytest.raises(FapError, match=LEFT):
        shop.release()
    store.stages.rollback("shop", "production", by=ann)
    store.stages.promote("shop", "2", "production", by=ann, override="it was the database")
    shop.release()
    assert shop.site.version() == "2"


def test_the_stage_follows_if_that_is_wanted(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    release.rollback(shop.site.request(), Report(), with_store=True)
    assert "production in the store has 1 (entry 3) now" in capsys.readouterr().err
    state = shop.store.stages.head("shop", "production")
    assert state is not None
    assert (state.action, state.version) == ("rollback", "1")
    shop.release()
    assert shop.site.version() == "1"


def test_without_a_terminal_the_command_is_printed(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    shop.site.rollback()
    told = capsys.readouterr().err
    where = f"file://{shop.site.folder}/store"
    assert f"To point it back too: fapstore --store {where} rollback shop production --to 1" in told


def test_a_store_that_refuses_is_reported(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.store.stages.freeze("shop", "production", by=Actor("ann"), why="sale")
    capsys.readouterr()
    release.rollback(shop.site.request(), Report(), with_store=True)
    told = capsys.readouterr().err
    assert "the store was not changed: shop production is frozen by ann: sale" in told
    assert shop.site.version() == "1"


def test_a_version_that_no_host_left_does_not_become_bad(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.push("3")  # promoted, and never released
    capsys.readouterr()
    release.rollback(shop.site.request(), Report(), with_store=True)
    told = capsys.readouterr().err
    assert "production in the store has 3, which is not the version you left (2)" in told
    state = shop.store.stages.head("shop", "production")
    assert state is not None
    assert (state.version, state.bad) == ("3", ())


def test_a_mirror_needs_the_store_behind_it(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.site.configure("project_name: shop\nstore: https://artifacts.example.com")
    capsys.readouterr()
    release.rollback(shop.site.request(), Report(), with_store=True)
    told = capsys.readouterr().err
    assert "https://artifacts.example.com is read-only" in told
    assert "fapstore --store URL rollback shop production --to 1 (or set FAP_STORE)" in told


def test_fap_store_names_the_store_behind_a_mirror(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.site.configure("project_name: shop\nstore: https://artifacts.example.com")
    monkeypatch.setenv("FAP_STORE", f"file://{shop.site.folder}/store")
    release.rollback(shop.site.request(), Report(), with_store=True)
    head = shop.store.stages.head("shop", "production")
    assert head is not None
    assert head.version == "1"


@pytest.mark.parametrize(("answer", "version"), [("y", "1"), ("n", "2")])
def test_on_a_terminal_it_is_asked(shop: Shop, answer: str, version: str) -> None:
    controller, terminal = pty.openpty()
    argv = [Path(sys.executable).with_name("faprelease"), "rollback", "-f", shop.site.deploy_yml]
    process = subprocess.Popen(
        [*argv, "production", "web", "-y"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "TERM": "dumb", "FAP_TRUST": "1"},
    )
    os.close(terminal)
    shown = b""
    try:
        while b"[y/N]" not in shown:
            shown += os.read(controller, 1000)
        os.write(controller, f"{answer}\n".encode())
        while True:
            shown += os.read(controller, 1000)
    except OSError:  # the other end is closed
        pass
    assert process.wait() == 0, shown.decode()
    os.close(controller)
    head = shop.store.stages.head("shop", "production")
    assert head is not None
    assert head.version == version

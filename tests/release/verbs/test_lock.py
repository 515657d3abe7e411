"""Freezing a stage, waiting for a lock, taking over a stale one, and breaking one by force."""

import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from faprelease.errors import FrozenError, LockedError
from faprelease.report.report import Report
from faprelease.run.run import Run
from faprelease.verbs import freeze, release, status
from tests.parts.fleet import wait_until
from tests.parts.lock_holders import controller, hold_lock
from tests.parts.site import Site, artifact

pytestmark = pytest.mark.slow  # whole releases, one after another


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("artifacts")
    return [artifact(folder, str(number)) for number in range(1, 4)]


def freeze_site(site: Site, why: str) -> None:
    freeze.freeze(Run.of(site.request(), "freeze", Report()), why)


def unfreeze_site(site: Site, *, force: bool = False) -> None:
    freeze.unfreeze(Run.of(site.request(), "unfreeze", Report()), force=force)


def test_a_freeze_outlives_its_session_and_tells_who_and_why(
    site: Site, urls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = site.release(urls[0])
    monkeypatch.setenv("FAP_WHO", "ada@laptop")
    freeze_site(site, 'moving the database, it\'s "mine"\nuntil noon')
    monkeypatch.setenv("FAP_WHO", "bob@ci")
    again: list[Callable[[], object]] = [
        lambda: site.release(urls[1]),
        lambda: site.rollback(),
        lambda: freeze_site(site, "me too"),
        lambda: release.release(replace(site.request(curl_url=urls[1]), lock_wait=60), Report()),
    ]
    for run in again:
        with pytest.raises(
            FrozenError, match=r"frozen by ada@laptop at 20.*: moving the database, it's"
        ) as no:
            run()
        assert no.value.exit_code == 5
        assert no.value.hint.endswith("faprelease unfreeze production web")
    assert site.current() == first
    assert not site.locked()
    (row,) = status.status(site.request())
    assert row.frozen.startswith("frozen by ada@laptop at 20")
    capsys.readouterr()
    unfreeze_site(site)
    assert "unfrozen; it was frozen by ada@laptop" in capsys.readouterr().err
    unfreeze_site(site)
    assert "was not frozen" in capsys.readouterr().err
    assert site.release(urls[1]) > first
    events = [(line["event"], line["who"]) for line in site.ledger()]
    assert events[1:] == [("frozen", "ada@laptop"), ("unfrozen", "bob@ci"), ("released", "bob@ci")]
    assert site.ledger()[1]["why"].endswith("\nuntil noon")


def test_a_freeze_that_can_not_be_read_still_holds(site: Site, urls: list[str]) -> None:
    site.release(urls[0])
    (site.path / ".fap/frozen").write_text("do not touch\n")
    with pytest.raises(FrozenError, match="do not touch"):
        site.release(urls[1])
    unfreeze_site(site)
    site.release(urls[1])


def test_a_run_waits_for_the_lock_of_another(
    site: Site, urls: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    site.release(urls[0])
    with subprocess.Popen(["sleep", "60"]) as process:
        hold_lock(site.path, process.pid)
        with pytest.raises(LockedError, match="held by ada@ci"):
            release.release(replace(site.request(curl_url=urls[1]), lock_wait=0.1), Report())
        timer = threading.Timer(1, process.kill)
        timer.start()
        release.release(replace(site.request(curl_url=urls[1]), lock_wait=60), Report())
        timer.join()
    assert site.version() == "2"
    said = capsys.readouterr().err
    assert "another run is in progress: held by ada@ci; waiting up to 60 s" in said
    assert "took over the lock of a session that has ended: ada@ci" in said
    assert [line["event"] for line in site.ledger()] == ["released", "took over the lock", "released"]


def test_a_lock_broken_by_force_lets_its_run_publish_nothing(
    site: Site, urls: list[str], tmp_path: Path
) -> None:
    site.release(urls[0])
    install = b"echo begun >begun; while [ ! -e go ]; do sleep 0.1; done; mkdir venv\n"
    slow = artifact(tmp_path / "slow", "9", {"install.sh": install})
    said = tmp_path / "said"
    with said.open("w") as out, controller(site.request(curl_url=slow), out.fileno()) as process:
        wait_until(lambda: any(site.path.glob("releases/*/begun")), "the installer runs", 20)
        (begun,) = site.path.glob("releases/*/begun")
        unfreeze_site(site)
        assert site.locked(), "unfreeze alone leaves a run in peace"
        unfreeze_site(site, force=True)
        assert not site.locked()
        site.release(urls[1])
        (begun.parent / "go").touch()
        assert process.wait(60) not in (0, 130)
    assert site.version() == "2"
    assert not site.locked()
    assert [line["event"] for line in site.ledger()][:3] == ["released", "broke the lock", "released"]
    site.release(urls[2])
    assert site.version() == "3"

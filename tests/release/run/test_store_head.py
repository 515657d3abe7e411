"""Releases of what the stage's log names, where deploy.yml demands signatures."""

import json
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from artifact_store.core.actor import Actor
from artifact_store.core.errors import StoreError
from artifact_store.records import keys
from artifact_store.stages import log_rules
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store, open_store
from artifact_store.trust.rules import Trust
from faprelease.errors import ConfigError, VerificationError
from faprelease.report.report import Report
from faprelease.verbs import release
from tests.parts.builds import Builds, serve_builds
from tests.parts.faprelease_command import run
from tests.parts.signers import Signers
from tests.parts.site import INSTALL, Site
from tests.parts.tgz import tgz


class Signed:
    """A site that releases from a store, and the keys that may sign there."""

    def __init__(self, folder: Path) -> None:
        self.site = Site(folder)
        self.url = f"file://{folder}/store"
        self.site.configure(f"store: {self.url}\nstore_signers: allowed_signers")
        self.signers = Signers(folder)
        self.key = self.signers.allow("ann")
        self.store().artifacts.publish(self.artifact("1"), by=Actor("ann"))

    def artifact(self, version: str) -> Path:
        files = {"app.py": f"VERSION = {version!r}\n".encode(), "install.sh": INSTALL}
        return tgz(self.site.folder, version=version, files=files, wheels={})

    def store(self, key: Path | None = None) -> Store:
        return open_store(self.url, Trust(policy=Policy(), key=key))

    @property
    def log(self) -> Path:
        """The folder of the stage's log."""
        return self.site.folder / "store/shop/stages/production"

    def promote(self, version: str) -> None:
        """Sign a version, and promote it by a signed entry."""
        store = self.store(self.key)
        store.artifacts.publish(self.artifact(version), by=Actor("ann"))
        store.artifacts.sign("shop", version, by=Actor("ann"))
        store.stages.promote("shop", version, "production", by=Actor("ann"))

    def release(self) -> str:
        release.release(self.site.request(), Report())
        return self.site.version()


@pytest.fixture
def signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Signed:
    monkeypatch.delenv("FAP_STORE", raising=False)
    return Signed(tmp_path)


def test_a_signed_artifact_by_a_signed_entry_is_released(signed: Signed) -> None:
    store = signed.store(signed.key)
    store.artifacts.sign("shop", "1", by=Actor("ann"))
    store.stages.promote("shop", "1", "production", by=Actor("ann"))
    assert signed.release() == "1"


def test_what_nobody_signed_is_not_released(signed: Signed) -> None:
    signed.store().stages.promote("shop", "1", "production", by=Actor("ann"))
    with pytest.raises(VerificationError, match="not released: entry 1 of shop production") as error:
        signed.release()
    assert error.value.exit_code == 6
    assert f"fapstore --store {signed.url} promote shop 1 production --key KEY" in error.value.hint
    signed.store(signed.key).stages.freeze("shop", "production", by=Actor("ann"), why="sale")
    with pytest.raises(VerificationError, match=r"shop 1 in .* has no valid signature") as error:
        signed.release()
    assert error.value.hint == f"fapstore --store {signed.url} sign shop 1 --key KEY"
    assert not signed.site.path.exists()


def test_another_keys_signatures_are_none(signed: Signed) -> None:
    store = signed.store(signed.signers.key("eve"))
    store.artifacts.sign("shop", "1", by=Actor("ann"))
    store.stages.promote("shop", "1", "production", by=Actor("ann"))
    with pytest.raises(VerificationError, match="entry 1 of shop production"):
        signed.release()


def test_a_retired_key_that_names_an_earlier_time_is_none(signed: Signed) -> None:
    """The case backdated-key."""
    bob = signed.store(signed.signers.allow("bob"))
    bob.artifacts.publish(signed.artifact("2"), by=Actor("bob"))
    for version in "12":
        bob.artifacts.sign("shop", version, by=Actor("bob"))
        bob.stages.promote("shop", version, "production", by=Actor("bob"))
    allowed = signed.signers.path.read_text()
    retired = allowed.replace("ann@example.com", 'ann@example.com valid-before="20200601"')
    signed.signers.path.write_text(retired)
    may = datetime(2020, 5, 1, tzinfo=UTC)
    first = bob.stages.history("shop", "production")[0]
    forged = msgspec.structs.replace(
        first.state, number=3, at=may, previous=bob.stages.history("shop", "production")[1].sha256
    )
    entry = log_rules.encode(forged, signed.store(signed.key).notary.sign_entry(forged))
    bob.blobs.create(keys.entry("shop", "production", 3), entry)
    with pytest.raises(VerificationError, match=r"entry 3 of shop production .* has no valid signature"):
        signed.release()
    assert not signed.site.path.exists()


@pytest.fixture
def two_releases(signed: Signed) -> Signed:
    """Versions 1 and 2 were promoted and released."""
    for version in "12":
        signed.promote(version)
        assert signed.release() == version
    return signed


def test_a_store_that_hides_the_last_entry_brings_nothing_back(two_releases: Signed) -> None:
    """The case store-downgrade."""
    site, log = two_releases.site, two_releases.log
    hidden = (log / "00000002.json").read_bytes()
    (log / "00000002.json").unlink()
    with pytest.raises(VerificationError) as error:
        two_releases.release()
    assert error.value.exit_code == 6
    assert error.value.message == (
        "the store's log ends with entry 1 (shop 1), and localhost (web) has seen entry 2: "
        "entries are missing"
    )
    assert "--allow-older" in error.value.hint
    assert site.version() == "2"
    site.rollback()
    url = (site.folder / "shop-2.tgz").as_uri()
    for url_release in (False, True):
        if url_release:
            release.release(site.request(curl_url=url), Report())
        with pytest.raises(VerificationError, match=r"localhost \(web\) has seen entry 2"):
            two_releases.release()
    (log / "00000002.json").write_bytes(hidden)
    assert two_releases.release() == "2"


def test_an_older_entry_is_released_when_that_is_asked_for(two_releases: Signed) -> None:
    site, log = two_releases.site, two_releases.log
    (log / "00000002.json").unlink()
    asked = replace(site.request(), allow_older=True)
    release.release(asked, Report())
    assert site.version() == "1"
    note = (
        "the store's log ends with entry 1 (shop 1), and localhost (web) has seen entry 2: "
        "entries are missing (--allow-older)"
    )
    assert site.ledger()[-1]["why"] == note
    records = two_releases.store().records.releases("shop", "production")
    assert [record.note for record in records if record.note] == [note]
    two_releases.promote("3")
    assert two_releases.release() == "3", "the host knows this log from now on"


def test_another_log_of_the_same_stage_is_refused(two_releases: Signed) -> None:
    shutil.rmtree(two_releases.log)
    for version in "121":
        two_releases.promote(version)
    with pytest.raises(VerificationError, match=r"is not the log that localhost \(web\) has seen"):
        two_releases.release()
    assert two_releases.site.version() == "2"


def test_what_an_earlier_faprelease_recorded_counts_too(two_releases: Signed) -> None:
    path = two_releases.site.path / ".fap/rollout.jsonl"
    first, *more = path.read_text().splitlines()
    known = {key: value for key, value in json.loads(first).items() if key not in ("stage", "seen", "origin")}
    path.write_text("\n".join([json.dumps(known), *more, ""]))
    (two_releases.log / "00000002.json").unlink()
    with pytest.raises(VerificationError, match="has seen entry 2"):
        two_releases.release()


def test_a_plan_in_a_file_keeps_that_an_older_entry_is_asked_for(two_releases: Signed) -> None:
    (two_releases.log / "00000002.json").unlink()
    folder = two_releases.site.folder
    words = ("plan", "production", "web", "-o", "next.plan")
    refused = run(two_releases.site, *words)
    assert (refused.returncode, (folder / "next.plan").exists()) == (6, False)
    assert run(two_releases.site, *words, "--allow-older").returncode == 0
    done = run(two_releases.site, "apply", "next.plan", "--yes")
    assert (done.returncode, two_releases.site.version()) == (0, "1"), done.stderr
    assert "warning: the store's log ends with entry 1" in done.stderr


@pytest.mark.slow
def test_a_stage_whose_last_entry_expired_is_not_released(signed: Signed) -> None:
    signed.promote("1")
    ann = open_store(signed.url, Trust(policy=Policy(), key=signed.key))
    ann.stages.renew("shop", "production", by=Actor("ann"), lifetime=timedelta(seconds=1))
    time.sleep(2.1)
    with pytest.raises(
        VerificationError, match="not released: entry 2 of shop production expired at"
    ) as error:
        signed.release()
    assert error.value.exit_code == 6
    assert error.value.hint == (
        f"if it is the last entry: fapstore --store {signed.url} renew shop production"
    )
    assert not signed.site.path.exists()
    ann.stages.renew("shop", "production", by=Actor("ann"), lifetime=timedelta(days=14))
    assert signed.release() == "1"


def test_a_url_by_hand_asks_no_store(signed: Signed, tmp_path: Path) -> None:
    url = (tmp_path / "shop-1.tgz").as_uri()
    release.release(signed.site.request(curl_url=url), Report())
    assert signed.site.version() == "1"


def test_through_a_web_server_the_entry_names_the_signature(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = signed.site.folder / "store"
    store = open_store(signed.url, Trust(policy=Policy(), signers=signed.signers.path, key=signed.key))
    with serve_builds() as builds:
        monkeypatch.setenv("FAP_STORE", builds.url)
        store.stages.promote("shop", "1", "production", by=Actor("ann"))
        _serve(builds, folder)
        with pytest.raises(StoreError, match="can't be listed"):
            signed.release()
        store.artifacts.publish(signed.artifact("2"), by=Actor("ann"))
        store.artifacts.sign("shop", "2", by=Actor("ann"))
        store.stages.promote("shop", "2", "production", by=Actor("ann"))
        store.stages.freeze("shop", "production", by=Actor("ann"), why="sale")
        _serve(builds, folder)
        assert signed.release() == "2"


def _serve(builds: Builds, folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            builds.bodies[f"/{path.relative_to(folder)}"] = [path.read_bytes()]


def test_signers_that_are_not_there(signed: Signed) -> None:
    signed.signers.path.unlink()
    with pytest.raises(ConfigError, match=r"there is no .*/allowed_signers"):
        signed.release()


@pytest.mark.parametrize("command", [("production",), ("status", "production", "--store")])
def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, command: tuple[str, ...]) -> None:
    site = Site(tmp_path)
    site.configure(f"store: file://{tmp_path}/typo")
    refused = run(site, *command)
    assert "there is no store at" in refused.stderr
    assert not (tmp_path / "typo").exists()

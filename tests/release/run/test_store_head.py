"""Releases of what the stage's log names, where deploy.yml demands signatures."""

from datetime import UTC, datetime
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

"""Releases where deploy.yml names the rules of the store: they bind the release, whoever promoted."""

from pathlib import Path

import pytest

from artifact_store.artifact.ids import ArtifactId
from artifact_store.core.actor import Actor
from artifact_store.records import keys
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store, open_store
from artifact_store.trust import rules
from artifact_store.trust.rules import Trust
from faprelease.errors import ConfigError, UsageError, VerificationError
from faprelease.report.report import Report
from faprelease.verbs import release, sync
from faprelease.verbs.converge import converge
from faprelease.verbs.release import Request
from tests.parts.signers import Signers
from tests.parts.site import INSTALL, Site
from tests.parts.tgz import tgz

RULES = """
app = "shop"
stages = ["staging", "production"]
protected = ["production"]
approvals = 1
approvers = ["bob@example.com"]
signers = "allowed_signers"
require_signatures = true
"""


class Ruled:
    """A site under rules; ann may sign stages, and bob approves."""

    def __init__(self, folder: Path) -> None:
        self.site, self.url = Site(folder), f"file://{folder}/store"
        self.signers = Signers(folder)
        self.ann, self.bob = self.signers.allow("ann"), self.signers.allow("bob")
        (folder / "fapstore.toml").write_text(RULES)
        self.site.configure(f"store: {self.url}\nstore_policy: fapstore.toml")

    def under_rules(self, key: Path) -> Store:
        return open_store(self.url, rules.load(self.site.folder, key=key))

    def without_rules(self, key: Path) -> Store:
        """As from an empty folder: with a key, and no fapstore.toml."""
        return open_store(self.url, Trust(policy=Policy(), signers=self.signers.path, key=key))

    def pushed(self, version: str) -> Store:
        files = {"app.py": f"VERSION = {version!r}\n".encode(), "install.sh": INSTALL}
        store = self.without_rules(self.ann)
        store.artifacts.publish(
            tgz(self.site.folder, version=version, files=files, wheels={}), by=Actor("ann")
        )
        store.artifacts.sign("shop", version, by=Actor("ann"))
        return store

    def release(self, **flags: str) -> str:
        release.release(self.site.request(**flags), Report())
        return self.site.version()


@pytest.fixture
def ruled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ruled:
    monkeypatch.delenv("FAP_STORE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "logs"))
    return Ruled(tmp_path)


def test_what_someone_promoted_without_the_rules_is_not_released(ruled: Ruled) -> None:
    """The case approvals-bypass."""
    store = ruled.pushed("3")
    store.stages.promote("shop", "3", "production", by=Actor("ann"))
    with pytest.raises(VerificationError) as error:
        ruled.release()
    assert error.value.exit_code == 6
    assert error.value.message == (
        "not released: the rules do not allow shop 3 on production: "
        "3 was never on staging; 3 has 0 of 1 approvals"
    )
    assert error.value.hint == (
        f"fapstore --store {ruled.url} promote shop 3 staging\n"
        f"fapstore --store {ruled.url} approve shop 3 production --key KEY"
    )
    assert not ruled.site.path.exists()
    store.stages.promote("shop", "3", "staging", by=Actor("ann"))
    with pytest.raises(VerificationError, match="on production: 3 has 0 of 1 approvals"):
        ruled.release()
    store.stages.approve("shop", "3", "production", by=Actor("ann"))
    with pytest.raises(VerificationError, match="on production: 3 has 0 of 1 approvals"):
        ruled.release()  # ann is no approver
    ruled.under_rules(ruled.bob).stages.approve("shop", "3", "production", by=Actor("bob"))
    assert ruled.release() == "3"


def test_an_override_and_a_rollback_do_not_bind_the_release(ruled: Ruled) -> None:
    ruled.pushed("1")
    ruled.pushed("2")
    ann = ruled.under_rules(ruled.ann)
    for version in "12":
        ann.stages.promote("shop", version, "production", by=Actor("ann"), override="no time")
    with pytest.raises(VerificationError, match="2 was never on staging; 2 has 0 of 1 approvals"):
        ruled.release()
    ann.stages.rollback("shop", "production", by=Actor("ann"))
    with pytest.raises(VerificationError, match="1 was never on staging; 1 has 0 of 1 approvals"):
        ruled.release()
    assert ruled.release(store_policy="", store_signers="allowed_signers") == "1"


def test_what_lacks_a_signature_is_not_released(ruled: Ruled) -> None:
    store = ruled.pushed("1")
    for stage in ("staging", "production"):
        store.stages.promote("shop", "1", stage, by=Actor("ann"))
    ruled.under_rules(ruled.bob).stages.approve("shop", "1", "production", by=Actor("bob"))
    assert ruled.release() == "1"
    nobody = open_store(ruled.url)
    nobody.stages.freeze("shop", "production", by=Actor("eve"), why="sale")
    with pytest.raises(VerificationError, match=r"entry 2 of shop production .* has no valid signature"):
        ruled.release()
    ruled.under_rules(ruled.ann).stages.promote("shop", "1", "production", by=Actor("ann"))
    (signature,) = nobody.blobs.keys(keys.signatures(ArtifactId("shop", "1")))
    nobody.blobs.delete(signature)
    with pytest.raises(VerificationError, match=r"shop 1 in .* has no valid signature"):
        ruled.release()


def test_a_host_that_converges_is_bound_too(ruled: Ruled) -> None:
    site = ruled.site
    site.configure(f"store: {ruled.url}\nstore_policy: fapstore.toml\nmanager: converge")
    ruled.pushed("3").stages.promote("shop", "3", "production", by=Actor("ann"))
    told, error = converge(Request(file=site.deploy_yml, stage="production", role="web", flags={}), Report())
    assert error is not None
    assert (told.outcome, error.exit_code) == ("unverified", 6)
    assert "3 has 0 of 1 approvals" in told.problem
    assert not site.path.exists()


def test_a_sync_is_bound_too(ruled: Ruled) -> None:
    store = ruled.pushed("1")
    store.stages.promote("shop", "1", "production", by=Actor("ann"))
    ruled.release(store_policy="")
    ruled.site.configure(f"store: {ruled.url}\nstore_policy: fapstore.toml\nenvironment: {{NEW: value}}")
    with pytest.raises(VerificationError, match="1 has 0 of 1 approvals"):
        sync.sync(ruled.site.request(), Report())


def test_rules_that_are_not_there_or_of_another_app(ruled: Ruled) -> None:
    ruled.pushed("1").stages.promote("shop", "1", "production", by=Actor("ann"))
    rules_file = ruled.site.folder / "fapstore.toml"
    rules_file.write_text(RULES.replace('"shop"', '"blog"'))
    with pytest.raises(UsageError, match="the rules here belong to blog, not to shop"):
        ruled.release()
    rules_file.unlink()
    with pytest.raises(ConfigError, match=r"there is no .*/fapstore\.toml"):
        ruled.release()

"""An app on this machine that is released from a store with rules."""

from dataclasses import dataclass

from artifact_store.core.actor import Actor
from artifact_store.records.releases import ReleaseRecord
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store, open_store
from artifact_store.trust.rules import Trust
from faprelease.report.report import Report
from faprelease.verbs import release
from tests.parts.site import INSTALL, Site
from tests.parts.tgz import tgz

RULES = Policy(stages=("production", "world"), protected=("world",), require_released=True)


@dataclass
class Shop:
    """A site that releases from a folder's store; `production` comes before the protected `world`."""

    site: Site

    @property
    def store(self) -> Store:
        return open_store(f"file://{self.site.folder}/store", Trust(policy=RULES))

    def push(self, version: str, install: bytes = INSTALL) -> None:
        files = {"app.py": f"VERSION = {version!r}\n".encode(), "install.sh": install}
        self.store.artifacts.publish(
            tgz(self.site.folder, version=version, files=files, wheels={}), by=Actor("ci")
        )
        self.store.stages.promote("shop", version, "production", by=Actor("ann"))

    def release(self) -> None:
        release.release(self.site.request(), Report())

    def records(self) -> tuple[ReleaseRecord, ...]:
        return self.store.records.releases("shop", "production")

"""What a stage should run, as the log of the store says it."""

import os
from dataclasses import dataclass

from faprelease.config import Target
from faprelease.errors import ConfigError


@dataclass(frozen=True)
class Promoted:
    """The version that was last promoted to a stage, by which entry of its log, its URL and sha256."""

    app: str
    version: str
    entry: int
    url: str
    digest: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.app} {self.version}"


def store_of(target: Target) -> str:
    """The URL of the store that FAP_STORE or deploy.yml names, empty if neither does."""
    return os.environ.get("FAP_STORE") or target.settings.store


def find(target: Target) -> Promoted:
    """Read the log of the target's stage in the store of FAP_STORE or deploy.yml.

    Raises ConfigError if no store is named or nothing was promoted; StoreError if it can't be read.
    """
    settings = target.settings
    where = store_of(target)
    if not where:
        raise ConfigError(
            "nothing says what to release",
            hint="give --curl-url URL, or name the store: `store: s3://bucket/prefix` in deploy.yml",
        )
    from artifact_store.store import open_store

    app, stage = settings.project_name, settings.stage
    store = open_store(where)
    state = store.stage(app, stage)
    if state is None:
        raise ConfigError(
            f"nothing was ever promoted to {stage} of {app} in {where}",
            hint=f"fapstore --store {where} promote {app} VERSION {stage}",
        )
    return Promoted(app, state.version, state.number, store.link(app, state.version).url, state.digest)

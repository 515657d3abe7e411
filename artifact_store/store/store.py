"""Open a store. Nothing in a store is ever overwritten."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.actor import Actor, Stamp
from artifact_store.stages.log import StageLogs
from artifact_store.store.artifacts import Artifacts
from artifact_store.store.policy_facts import PolicyFacts
from artifact_store.store.promote import StageWriter
from artifact_store.store.records import Records
from artifact_store.store.stages import Stages
from artifact_store.trust.rules import NO_RULES, Trust
from artifact_store.trust.signatures import Notary


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _new_id() -> str:
    return secrets.token_hex(16)


def open_store(url: str, trust: Trust = NO_RULES, *, unsafe: bool = False, existing: bool = False) -> "Store":
    """Open the store at `s3://bucket/prefix`, `file:///dir`, a path, or `https://host/path` (read-only).

    `trust` has the rules for stages and the allowed signers; the default has no rules. With `unsafe`, stages
    can be changed even if the store allows overwriting. With `existing`, a folder must be a store already.
    Does not connect yet. Raises UsageError for other URLs, and StoreError for a folder that is no store.
    """
    return Store(open_blobs(url, unsafe=unsafe, existing=existing), trust=trust, unsafe=unsafe)


class Store:
    """The parts of a store. Their methods raise the errors of `artifact_store.core.errors`."""

    def __init__(
        self,
        blobs: Blobs,
        *,
        trust: Trust = NO_RULES,
        unsafe: bool = False,
        clock: Callable[[], datetime] = _now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self.blobs = blobs
        self.clock = clock
        self._new_id = new_id
        logs = StageLogs(blobs, unsafe=unsafe)
        self.notary = Notary(blobs, logs, trust, clock)
        """Makes and checks signatures."""
        self.artifacts = Artifacts(blobs, self.notary, self.stamp, clock)
        self.records = Records(blobs)
        facts = PolicyFacts(logs, self.notary, self.records)
        writer = StageWriter(logs, trust, self.notary, self.artifacts, facts)
        self.stages = Stages(logs, trust, self.notary, self.artifacts, facts, writer, self.stamp, clock)

    @property
    def name(self) -> str:
        """The store's URL, for people. Contains no secret."""
        return self.blobs.name

    @property
    def can_list(self) -> bool:
        """Whether versions, apps and stages can be listed: a web server can't."""
        return self.blobs.can_list

    @property
    def can_write(self) -> bool:
        """Whether anything can be pushed and promoted here: a web server is read-only."""
        return self.blobs.can_write

    def stamp(self, by: Actor) -> Stamp:
        """A new stamp for an object that is written now."""
        return Stamp(who=by.who, at=self.clock(), ci=by.ci, operation=self._new_id())

"""A store: its artifacts, its stages and its records. Everything written is create-only."""

import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.actor import Actor, Stamp
from artifact_store.stages.log import StageLogs
from artifact_store.store.artifacts import Artifacts
from artifact_store.store.promote import StageWriter
from artifact_store.store.records import Records
from artifact_store.store.stages import Stages
from artifact_store.trust.rules import NO_RULES, Trust
from artifact_store.trust.signatures import Notary


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _new_id() -> str:
    return secrets.token_hex(16)


def open_store(url: str, trust: Trust = NO_RULES, *, unsafe: bool = False) -> "Store":
    """The store at `s3://bucket/prefix`, `file:///dir`, a plain path, or read-only `https://host/path`.

    `trust` says by which rules stages change there, and whose signatures count; the default has none.
    With `unsafe`, stages are changed even where the store overwrites what is there. Connects to nothing yet.
    Raises UsageError if the URL is none of these.
    """
    return Store(open_blobs(url), trust=trust, unsafe=unsafe)


class Store:
    """A store's parts. Their methods raise the errors of `artifact_store.core.errors`."""

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
        self.notary = Notary(blobs, trust)
        """Checks signatures by the rules in force."""
        self.artifacts = Artifacts(blobs, self.notary, self.stamp)
        self.records = Records(blobs)
        logs = StageLogs(blobs, unsafe=unsafe)
        writer = StageWriter(logs, trust, self.notary, self.artifacts, self.records)
        self.stages = Stages(logs, trust, self.notary, self.artifacts, writer, self.stamp)

    @property
    def name(self) -> str:
        """The store's URL, for people; holds no secret."""
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
        """A new stamp for something that is written now."""
        return Stamp(who=by.who, at=self.clock(), ci=by.ci, operation=self._new_id())

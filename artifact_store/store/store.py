"""The main paths of a store: publish, find, fetch, promote. Everything written is create-only."""

import difflib
import secrets
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs import doctor
from artifact_store.blobs.download import download
from artifact_store.blobs.open import open_blobs
from artifact_store.blobs.protocol import Blobs, Link, Sink, keep
from artifact_store.core.errors import NotFoundError, VerificationError
from artifact_store.core.finding import Finding
from artifact_store.gc import collect
from artifact_store.gc.references import Rules
from artifact_store.records import artifact as record
from artifact_store.records import host as hosts
from artifact_store.records import keys as layout
from artifact_store.records import release as releases
from artifact_store.records import removal
from artifact_store.records.artifact import ArtifactRecord, Published
from artifact_store.records.host import HostRecord
from artifact_store.records.release import ReleaseRecord
from artifact_store.records.removal import Removal
from artifact_store.stages import log_rules as promotion
from artifact_store.stages import policy
from artifact_store.stages.log import StageLog
from artifact_store.stages.log_rules import Action, Entry, Request, StageState
from artifact_store.store import promote as promoting
from artifact_store.store import publish as publishing
from artifact_store.store.promote import Change
from artifact_store.store.publish import Upload
from artifact_store.trust.rules import NO_RULES, Trust
from artifact_store.trust.signatures import Approval, Notary, Signature, Signed


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
    """Artifacts and stage logs in one place. Its methods raise the errors of `artifact_store.errors`."""

    def __init__(
        self,
        blobs: Blobs,
        *,
        trust: Trust = NO_RULES,
        unsafe: bool = False,
        clock: Callable[[], datetime] = _now,
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self._blobs = blobs
        self._trust = trust
        self.notary = Notary(blobs, trust)
        """Who signed what."""
        self._unsafe = unsafe
        self._clock = clock
        self._new_id = new_id
        self._logs: dict[tuple[str, str], StageLog] = {}

    @property
    def name(self) -> str:
        """The store's URL, for people; holds no secret."""
        return self._blobs.name

    @property
    def can_list(self) -> bool:
        """Whether versions, apps and stages can be listed: a web server can't."""
        return self._blobs.can_list

    @property
    def can_write(self) -> bool:
        """Whether anything can be pushed and promoted here: a web server is read-only."""
        return self._blobs.can_write

    def publish(self, artifact: Path | Upload, who: str, ci: str = "") -> Published:
        """Store an artifact, and the evidence beside its file, under the app and version it names.

        The record is written last: until then the version does not exist, and a killed push leaves only
        bytes that gc removes. The same bytes again are no error. Raises VerificationError if the
        file is no whole artifact, or the provenance is another's; ConflictError if the version has other
        bytes.
        """
        if isinstance(artifact, Path):
            with publishing.begun(artifact) as upload:
                return self.publish(upload, who, ci)
        return publishing.publish(
            self._blobs, artifact, who=who, ci=ci, at=self._clock(), operation=self._new_id()
        )

    def artifact(self, app: str, version: str) -> ArtifactRecord:
        """The record of a version; raise NotFoundError, naming versions like it, if there is none."""
        found = record.find(self._blobs, ArtifactId(app, version))
        if found is None:
            raise self._no_version(app, version)
        return found

    def list(self, app: str, last: int | None = None) -> tuple[ArtifactRecord, ...]:
        """The records of all versions of an app, or of the `last` so many, the oldest push first.

        Each is read with a request of its own, four at a time.
        """
        pushed = sorted(
            (blob.modified, version)
            for blob in self._blobs.listing(layout.artifacts(app))
            if (version := layout.recorded_version(blob.key))
        )
        with ThreadPoolExecutor(4) as pool:
            wanted = pushed if last is None else pushed[-last:]
            read = pool.map(lambda each: record.find(self._blobs, ArtifactId(app, each[1])), wanted)
            found = [there for there in read if there]
        return tuple(sorted(found, key=lambda there: (there.at, there.version)))

    def version_names(self, app: str) -> tuple[str, ...]:
        """The names of all versions of an app, in no order."""
        keys = self._blobs.keys(layout.artifacts(app))
        return tuple(version for version in map(layout.recorded_version, keys) if version)

    def examine(self) -> Iterator[Finding]:
        """What the store really does, and how it is set up: see `doctor`."""
        return doctor.examine(self._blobs, lambda: datetime.now(UTC))

    def apps(self) -> tuple[str, ...]:
        """The names of all apps."""
        return tuple(name for name in self._blobs.folders("") if layout.is_app(name))

    def fetch(self, app: str, version: str, to: Path) -> Path:
        """Download a version to the file `to`, or into the folder `to`; return the file's path.

        Nobody sees the file before its sha256 was checked. A file that is there with the same bytes is
        left as it is; one with other bytes is an error (UsageError). Raises VerificationError if signatures
        are demanded and it has no valid one.
        """
        artifact = ArtifactId(app, version)
        found = self._trusted(app, version)
        target = to / artifact.file_name if to.is_dir() else to
        download(self._blobs, record.key(found), found.digest, target)
        return target

    def read(self, found: ArtifactRecord, sink: Sink) -> None:
        """Write the bytes that are stored as a version to `sink`, unchecked; NotFoundError if none are."""
        self._blobs.get_to(record.key(found), sink)

    def link(self, app: str, version: str, expires: timedelta = timedelta(hours=1)) -> Link:
        """A URL from which anyone can download a version for `expires`; for a folder, its file:// URL.

        Raises VerificationError if signatures are demanded and it has no valid one.
        """
        return self._blobs.link(record.key(self._trusted(app, version)), expires)

    def sign(self, app: str, version: str, *, who: str, digest: str = "") -> Signed:
        """Sign that a version is the bytes the store says it is, or those with sha256 `digest`.

        Raises VerificationError if the store names other bytes, or nobody would accept the key; UsageError
        if there is no key, or it can't sign.
        """
        found = self._usable(app, version)
        if digest and digest != found.digest:
            raise VerificationError(
                f"{self.name} says that {app} {version} has sha256 {found.digest}, not {digest}",
                hint=f"find out who pushed it: fapstore show {app} {version}",
            )
        statement = Signature(app=app, version=version, digest=found.digest, who=who, at=self._clock())
        return self.notary.attest(statement)

    def approve(self, app: str, version: str, stage: str, *, who: str, why: str = "") -> Signed:
        """Sign that a version may go to a stage. Raises as `sign`."""
        policy.check_place(self._trust.policy, app, stage)
        digest = self._usable(app, version).digest
        statement = Approval(
            app=app, stage=stage, version=version, digest=digest, who=who, why=why, at=self._clock()
        )
        return self.notary.attest(statement)

    def stage(self, app: str, stage: str) -> StageState | None:
        """What a stage should run, or None if that is nothing.

        Raises VerificationError if signatures are demanded and its entry has no valid one.
        """
        last = self.log(app, stage).last()
        if last:
            self.notary.check_entry(last)
        return last.state if last and not last.state.is_empty else None

    def log(self, app: str, stage: str) -> StageLog:
        """The log of a stage, which is the same one for all who ask."""
        if (app, stage) not in self._logs:
            self._logs[app, stage] = StageLog(self._blobs, app, stage, unsafe=self._unsafe)
        return self._logs[app, stage]

    def stage_names(self, app: str) -> tuple[str, ...]:
        """The stages that an app has a log or an approval of."""
        return tuple(self._blobs.folders(layout.stages(app)))

    def promoted(self, app: str, stage: str) -> tuple[StageState, Link] | None:
        """What a stage should run, and a link to its bytes; None if that is nothing.

        Raises VerificationError if signatures are demanded, and the stage's entry or the artifact has no
        valid one; NotFoundError if the version is not stored.
        """
        state = self.stage(app, stage)
        if state is None:
            return None
        found = self._usable(app, state.version)
        if found.digest != state.digest:
            raise VerificationError(
                f"entry {state.number} of {app} {stage} says that {state.version} is {state.digest}, "
                f"its record {found.digest}",
                hint=f"find out what happened: fapstore verify {app}",
            )
        self.notary.check_artifact(found, state.signature)
        return state, self._blobs.link(record.key(found), timedelta(hours=1))

    def heads(self, app: str) -> tuple[Entry, ...]:
        """The last entries of all stages of an app, by stage; signatures are not looked at."""
        entries = (self.log(app, name).last() for name in self.stage_names(app))
        return tuple(entry for entry in entries if entry)

    def stages(self, app: str) -> tuple[StageState, ...]:
        """The states of all stages of an app, by name; signatures are not looked at."""
        return tuple(entry.state for entry in self.heads(app))

    def entries(self, app: str, stage: str) -> tuple[Entry, ...]:
        """The whole log of a stage, the first first; its chain is checked, signatures are not looked at."""
        return tuple(self.log(app, stage).all())

    def newest_first(self, app: str, stage: str) -> Iterator[Entry]:
        """The log of a stage, the last first, each read when it is asked for."""
        return self.log(app, stage).newest_first()

    def history(self, app: str, stage: str) -> tuple[StageState, ...]:
        """All that was ever stated about a stage, the first first; its chain of digests is checked."""
        return tuple(entry.state for entry in self.entries(app, stage))

    def promote(
        self,
        app: str,
        version: str,
        stage: str,
        *,
        who: str,
        why: str = "",
        source: str | None = None,
        ci: str = "",
        reason: str = "",
    ) -> Change:
        """Make `version` what the stage should run; `source` is the stage it comes from, if any.

        With a `reason`, it is done where the app's rules refuse, and the entry says so. No bytes move.
        Raises NotFoundError for a version that is not stored, RefusedError if the rules refuse, StoreError
        if the stage is frozen, ConflictError (naming the winner) if someone else changed it meanwhile.
        """
        digest = self._usable(app, version).digest
        request = self._request("promote", who, why, ci, version=version, digest=digest, source=source or "")
        return promoting.change(self, self._trust, app, stage, self.log(app, stage).last(), request, reason)

    def rollback(
        self,
        app: str,
        stage: str,
        *,
        who: str,
        why: str = "",
        to: str | None = None,
        ci: str = "",
        reason: str = "",
    ) -> Change:
        """Make the version before, or version `to` of the stage's past, what the stage should run.

        Raises NotFoundError if there is none; else as `promote`. No approvals are asked for.
        """
        log = self.log(app, stage)
        last = log.last()
        version = to or promotion.version_before(entry.state for entry in log.newest_first())
        if version is None:
            raise NotFoundError(
                f"{app} {stage} has no version to go back to", hint=f"fapstore history {app} {stage}"
            )
        if to and not any(entry.state.version == to for entry in log.newest_first()):
            raise NotFoundError(
                f"{app} {version} was never on {stage}", hint=f"fapstore promote {app} {version} {stage}"
            )
        digest = self._usable(app, version).digest
        request = self._request("rollback", who, why, ci, version=version, digest=digest)
        return promoting.change(self, self._trust, app, stage, last, request, reason)

    def freeze(self, app: str, stage: str, *, who: str, why: str, ci: str = "") -> Change:
        """Refuse promotions and rollbacks of a stage until it is unfrozen."""
        request = self._request("freeze", who, why, ci)
        return promoting.change(self, self._trust, app, stage, self.log(app, stage).last(), request)

    def unfreeze(self, app: str, stage: str, *, who: str, why: str, ci: str = "") -> Change:
        """Allow them again."""
        request = self._request("unfreeze", who, why, ci)
        return promoting.change(self, self._trust, app, stage, self.log(app, stage).last(), request)

    def removed(self, app: str, version: str) -> Removal | None:
        """Which run of gc removed, or is about to remove, the bytes of a version; None where none did."""
        return removal.find(self._blobs, ArtifactId(app, version))

    def record_release(self, release: ReleaseRecord) -> None:
        """Keep what a run of `faprelease` did with one role of a stage; once kept, it is never changed.

        The same record again is no error. Raises ConflictError if its place holds another one.
        """
        keep(self._blobs, releases.key(release), releases.encode(release))

    def releases(
        self, app: str, stage: str, role: str | None = None, entries: Collection[int] | None = None
    ) -> tuple[ReleaseRecord, ...]:
        """What was released to a stage, or to one role of it: by stage entry, and by time within one.

        With `entries`, only what is about these entries of the stage's log; no other record is read.
        """
        keys = (
            key
            for key in self._blobs.keys(layout.releases(app, stage, role))
            if (entry := layout.released_entry(key)) is not None and (entries is None or entry in entries)
        )
        found = [releases.decode(self._blobs.get(key), key) for key in keys]
        return tuple(sorted(found, key=lambda release: (release.entry, release.at, release.role)))

    def record_host(self, record: HostRecord) -> None:
        """Keep what a host did by itself; as `record_release`."""
        hosts.write(self._blobs, record)

    def host(self, app: str, stage: str, role: str, host: str) -> HostRecord | None:
        """Where a host stands that brings itself to what its stage should run: see `hosts`."""
        return hosts.latest(self._blobs, app, stage, role, host)

    def hosts(self, app: str, stage: str, role: str | None = None) -> tuple[HostRecord, ...]:
        """Where each such host of a stage, or of one of its roles, stands; by role and host."""
        return hosts.all_latest(self._blobs, app, stage, role)

    def plan_gc(self, app: str, rules: Rules) -> collect.Plan:
        """What a run of gc would remove. Changes nothing; see `collect.plan`."""
        return collect.plan(self._blobs, app, rules, self._clock(), self.notary.trusts)

    def gc(self, plan: collect.Plan, *, who: str, wait: Callable[[], None], ci: str = "") -> collect.Done:
        """Remove what `plan` lists and nothing refers to by then; see `collect.carry_out`."""
        by = removal.By(who=who, at=self._clock(), ci=ci, operation=self._new_id())
        return collect.carry_out(self._blobs, plan, by, wait, self.notary.trusts)

    def _request(
        self,
        action: Action,
        who: str,
        why: str,
        ci: str,
        *,
        version: str = "",
        digest: str = "",
        source: str = "",
    ) -> Request:
        return Request(
            action=action,
            version=version,
            digest=digest,
            source=source,
            who=who,
            why=why,
            at=self._clock(),
            operation=self._new_id(),
            ci=ci,
        )

    def _trusted(self, app: str, version: str) -> ArtifactRecord:
        found = self._usable(app, version)
        self.notary.check_artifact(found)
        return found

    def _usable(self, app: str, version: str) -> ArtifactRecord:
        """The record of a version that was not removed; raises StoreError if it was."""
        found = self.artifact(app, version)
        if removed := self.removed(app, version):
            raise removal.refusal(removed)
        return found

    def _no_version(self, app: str, version: str) -> NotFoundError:
        versions = self.version_names(app) if self._blobs.can_list else ()
        near = difflib.get_close_matches(version, versions, n=3, cutoff=0.6)
        hint = f"did you mean {' or '.join(near)}?" if near else f"fapstore list {app}"
        if self._blobs.can_list and not versions:
            return NotFoundError(f"{self.name} holds no version of {app}", hint="fapstore list")
        return NotFoundError(f"{self.name} holds no {app} {version}", hint=hint)

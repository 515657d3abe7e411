"""The versions in a store: publish, find, download and sign them."""

import difflib
import hashlib
import io
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from artifact_store.artifact import archive
from artifact_store.artifact.ids import ArtifactId
from artifact_store.artifact.peek import open_source
from artifact_store.blobs.download import download
from artifact_store.blobs.protocol import Blobs, Link
from artifact_store.core.actor import Actor, Stamp
from artifact_store.core.errors import FapError, NotFoundError, StoreError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records import artifacts, keys, removals, withdrawals
from artifact_store.records.artifacts import ArtifactRecord, Published
from artifact_store.records.removals import Removal
from artifact_store.records.withdrawals import Withdrawal
from artifact_store.store import publish
from artifact_store.store.publish import Upload
from artifact_store.trust.signatures import Notary, Signature, SignedStatement

_EXPIRES = timedelta(hours=1)
_FETCH_TIME = timedelta(minutes=15)
"""How long the URL works from which `fetch` reads the manifest and members."""


@dataclass(frozen=True)
class StoredVersion:
    """A version as a listing of the store shows it."""

    version: str
    pushed: datetime
    """In UTC, by the storage's own clock."""
    digest: str
    """The sha256 of its bytes; empty if there are none."""
    size: int
    """The number of these bytes."""
    withdrawn: bool
    """Whether someone withdrew it; a signature of that is not checked here."""


class Artifacts:
    """The versions of all apps in a store."""

    def __init__(
        self,
        blobs: Blobs,
        notary: Notary,
        stamp: Callable[[Actor], Stamp],
        clock: Callable[[], datetime],
    ) -> None:
        self._blobs = blobs
        self._notary = notary
        self._stamp = stamp
        self._clock = clock
        self._passed_over: set[str] = set()
        self._with_bytes: frozenset[str] = frozenset()

    def publish(self, artifact: Path | Upload, by: Actor) -> Published:
        """Store an artifact, and the evidence beside its file, as the version in its manifest.

        The record is written last: until then the version does not exist, and a killed push leaves only
        bytes that gc removes. Publishing the same bytes again changes nothing. Raises VerificationError if
        the file is not a complete artifact, or the provenance is not its own, and ConflictError if the
        version exists with other bytes.
        """
        if isinstance(artifact, Path):
            with publish.open_upload(artifact) as upload:
                return self.publish(upload, by)
        return publish.publish(self._blobs, artifact, self._stamp(by))

    def get(self, app: str, version: str) -> ArtifactRecord:
        """The record of a version. Raises NotFoundError, naming similar versions, if there is none."""
        record = artifacts.find(self._blobs, ArtifactId(app, version))
        if record is None:
            raise self._no_version(app, version)
        return record

    def present(self, app: str, version: str) -> ArtifactRecord:
        """The record of a version. Raises as `get`, and StoreError if its bytes are gone."""
        record = self.get(app, version)
        self.check_present(record)
        return record

    def check_present(self, record: ArtifactRecord) -> None:
        """Raise StoreError if the bytes of a version are gone, as far as the store can be listed."""
        if not self._blobs.can_list or artifacts.has_bytes(self._blobs, record):
            return
        if removal := removals.find(self._blobs, record, self._clock()):
            raise removals.refusal(removal, gone=True)
        raise StoreError(
            f"the bytes of {record.app} {record.version} are missing in {self._blobs.name}",
            hint="push the same file again: that puts them back",
        )

    def usable(self, app: str, version: str) -> ArtifactRecord:
        """The record of a version. Raises as `present`, and StoreError if a gc may be removing it."""
        record = self.present(app, version)
        if removal := self.removal(app, version):
            raise removals.refusal(removal, gone=False)
        return record

    def removal(self, app: str, version: str) -> Removal | None:
        """The run of gc that removed the bytes of a version, or may be doing so; None if there is none."""
        return removals.find(self._blobs, self.get(app, version), self._clock())

    def is_removed(self, record: ArtifactRecord) -> bool:
        """Whether the bytes of a version of the last `list` are gone."""
        return record.version not in self._with_bytes

    def list(self, app: str, last: int | None = None) -> tuple[ArtifactRecord, ...]:
        """The records of all versions of an app, or only the `last` ones, oldest first.

        Those that can't be read are in `passed_over` then.
        """
        stored = self.stored(app)
        self._with_bytes = frozenset(one.version for one in stored if one.digest)
        wanted = stored if last is None else stored[-last:]
        present = self.records(app, (one.version for one in wanted))
        return tuple(sorted(present, key=lambda record: (record.at, record.version)))

    def records(self, app: str, versions: Iterable[str]) -> Iterator[ArtifactRecord]:
        """The records of these versions that exist and can be read; the others are in `passed_over` then."""
        names: list[ArtifactId] = []
        for version in versions:
            try:
                names.append(ArtifactId(app, version))
            except UsageError as error:
                self._pass_over(error)
        for artifact, data in zip(names, self._blobs.get_each(map(keys.record, names)), strict=True):
            try:
                if data is not None:
                    yield artifacts.decode(data, artifact)
            except VerificationError as error:
                self._pass_over(error)

    def _pass_over(self, error: FapError) -> None:
        self._passed_over.add(f"passed over: {error.message}")

    @property
    def passed_over(self) -> tuple[str, ...]:
        """What is wrong with the records that `list` and `records` passed over."""
        return tuple(sorted(self._passed_over))

    def stored(self, app: str) -> tuple[StoredVersion, ...]:
        """All versions of an app by one listing, oldest first.

        Reads only the records of versions that were pushed several times: they name the bytes that count.
        """
        pushed: dict[str, datetime] = {}
        archives: dict[str, list[tuple[str, int]]] = defaultdict(list)
        withdrawn: set[str] = set()
        for blob in self._blobs.listing(keys.artifacts(app)):
            if version := keys.recorded_version(blob.key):
                pushed[version] = blob.modified
            elif stored := keys.stored_archive(blob.key):
                archives[stored[0]].append((stored[1], blob.size))
            elif version := keys.withdrawn_version(blob.key):
                withdrawn.add(version)
        for record in self.records(app, [name for name in pushed if len(archives[name]) > 1]):
            archives[record.version] = [(record.digest, record.size)]
        return tuple(
            StoredVersion(version, at, *(archives[version] or [("", 0)])[0], version in withdrawn)
            for version, at in sorted(pushed.items(), key=lambda pair: (pair[1], pair[0]))
        )

    def versions(self, app: str) -> tuple[str, ...]:
        """The names of all versions of an app, in no order."""
        below = self._blobs.keys(keys.artifacts(app))
        return tuple(version for version in map(keys.recorded_version, below) if version)

    def apps(self) -> tuple[str, ...]:
        """The names of all apps."""
        return tuple(name for name in self._blobs.folders("") if keys.is_app(name))

    def fetch(self, app: str, version: str, to: Path) -> Path:
        """Download a version to the file `to`, or into the folder `to`; return the file's path.

        The file appears only after its sha256 was checked. What other versions in its folder have is not
        downloaded again. An existing file with the same bytes is not
        changed. Raises UsageError if it has other bytes, and VerificationError if signatures are required and
        the version has no valid one.
        """
        record = self.present(app, version)
        self._notary.check_artifact(record)
        target = to / ArtifactId(app, version).file_name if to.is_dir() else to
        key = artifacts.archive_key(record)

        def begin(file: BinaryIO) -> None:
            """Begin with the members that other versions beside the target have."""
            url = self._blobs.link(key, _FETCH_TIME).url
            others = [path for path in target.parent.glob(f"{app}-*.tgz") if path != target]
            if others and not url.startswith("file:"):
                from artifact_store.artifact.assemble import assemble

                with open_source(url) as source:
                    assemble(source, others, file)

        download(self._blobs, key, record.digest, target, begin)
        return target

    def root(self, record: ArtifactRecord) -> str:
        """The root of a version, by which hosts check what they use; empty if nobody vouches for one."""
        return self._notary.root(record)

    def check(self, record: ArtifactRecord) -> str:
        """Download the bytes of a version to a temporary file, and check them as a host does; return their
        root.

        Raises VerificationError if they are not the artifact that the record names, and NotFoundError if they
        are missing.
        """
        artifact = ArtifactId(record.app, record.version)
        with tempfile.TemporaryFile() as file:
            self._blobs.get_to(artifacts.archive_key(record), file)
            size = file.tell()
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if (digest, size) != (record.digest, record.size):
                raise VerificationError(
                    f"its bytes have the sha256 {digest} ({size} bytes), not {record.digest} ({record.size})",
                    hint="pack and push a new version",
                )
            file.seek(0)
            scan = archive.scan(file, artifact.file_name)
        manifest = scan.manifest
        if (manifest.app, manifest.version) != (record.app, record.version):
            raise VerificationError(
                f"its manifest names {manifest.app} {manifest.version}", hint="pack and push a new version"
            )
        if record.root not in ("", scan.root):
            raise VerificationError(
                f"its bytes have the root {scan.root}, not {record.root}", hint="pack and push a new version"
            )
        return scan.root

    def evidence(self, record: ArtifactRecord, kind: str) -> bytes:
        """The evidence of a version with this suffix; NotFoundError if it was pushed without."""
        body = io.BytesIO()
        try:
            self._blobs.get_to(keys.evidence(artifacts.archive_key(record), kind), body)
        except NotFoundError as error:
            raise NotFoundError(
                f"{record.app} {record.version} was pushed without *{kind}",
                hint="fapbuild pack writes it beside the tgz, and fapstore push takes it from there",
            ) from error
        return body.getvalue()

    def link(self, app: str, version: str, expires: timedelta = _EXPIRES) -> Link:
        """A URL from which anyone can download a version until it expires; for a folder, a file:// URL.

        Raises VerificationError if signatures are required and the version has no valid one.
        """
        return self.link_to(self.present(app, version), expires)

    def link_to(self, record: ArtifactRecord, expires: timedelta = _EXPIRES, signature: str = "") -> Link:
        """As `link`; the signature with this name is checked first."""
        return self.link_and_root(record, expires, signature)[0]

    def link_and_root(
        self, record: ArtifactRecord, expires: timedelta = _EXPIRES, signature: str = ""
    ) -> tuple[Link, str]:
        """As `link_to`, with the root that the signature states, or the record where none is required."""
        root = self._notary.check_artifact(record, signature)
        return self._blobs.link(artifacts.archive_key(record), expires), root

    def sign(self, app: str, version: str, by: Actor, digest: str = "") -> SignedStatement:
        """Check the bytes of a version, and sign their sha256, which must be `digest` if that is given.

        Raises VerificationError if the store has another sha256, the bytes are not the artifact, or readers
        would not accept the key, and UsageError if there is no key, or it can't sign.
        """
        record = self.usable(app, version)
        if digest and digest != record.digest:
            raise VerificationError(
                f"{app} {version} in {self._blobs.name} has the sha256 {record.digest}, not {digest}",
                hint=Hint("see who pushed it: {fapstore} show {app} {version}", app=app, version=version),
            )
        root, stamp = self.check(record), self._stamp(by)
        return self._notary.attest(
            Signature(app=app, version=version, digest=record.digest, root=root, who=stamp.who, at=stamp.at)
        )

    def withdraw(self, app: str, version: str, by: Actor, why: str) -> Withdrawal:
        """Let no stage take a version any more. Stages that have it keep it. It can't be taken back.

        Raises NotFoundError if there is no such version, VerificationError if readers would not accept the
        key, and UsageError if a signature is required and there is no key.
        """
        record, stamp = self.get(app, version), self._stamp(by)
        withdrawal = Withdrawal(
            app=app,
            version=version,
            digest=record.digest,
            who=stamp.who,
            why=why,
            at=stamp.at,
            ci=stamp.ci,
            operation=stamp.operation,
        )
        sealed = self._notary.seal_withdrawal(withdrawal)
        withdrawals.write(self._blobs, ArtifactId(app, version), sealed)
        return withdrawal

    def withdrawal(self, record: ArtifactRecord) -> Withdrawal | None:
        """The withdrawal of a version, the first one by name; None if there is none.

        Where signatures are required, only a signed one counts.
        """
        return next(self._notary.withdrawals(record), None)

    def _no_version(self, app: str, version: str) -> NotFoundError:
        versions = self.versions(app) if self._blobs.can_list else ()
        near = difflib.get_close_matches(version, versions, n=3, cutoff=0.6)
        matches = " or ".join(near)
        hint = f"did you mean {matches}?" if near else Hint("{fapstore} list {app}", app=app)
        if self._blobs.can_list and not versions:
            return NotFoundError(
                f"{self._blobs.name} contains no version of {app}", hint=Hint("{fapstore} list")
            )
        return NotFoundError(f"{self._blobs.name} does not contain {app} {version}", hint=hint)

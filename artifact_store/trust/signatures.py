"""Signatures of versions and approvals for stages.

Each is an envelope with one statement and one signature. Its key is the sha256 of the signature, so
signatures can be added at any time:

    <app>/artifacts/<version>/signatures/<sha256>.sig
    <app>/stages/<stage>/approvals/<digest>/<sha256>.sig

A statement names its app, version and stage, so a copy in another place is not valid.

A signature is judged at the time that its statement names, so that a key may be retired later. An entry of a
log is judged at the time of an entry before it, if that is later: so a retired key can't sign a new entry,
whatever time it names.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from threading import Lock

import msgspec

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import ConflictError, NotFoundError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records import envelope, keys, withdrawals
from artifact_store.records.artifacts import ArtifactRecord
from artifact_store.records.envelope import Envelope
from artifact_store.records.withdrawals import Withdrawal
from artifact_store.stages import log_rules, origins
from artifact_store.stages.log import StageLogs
from artifact_store.stages.log_rules import LogEntry, StageState
from artifact_store.stages.origins import Origin
from artifact_store.trust import ssh_keygen
from artifact_store.trust.rules import Trust

_THREADS = 8


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """A statement: the version of the app has this sha256, and this root, if it has one."""

    app: str
    version: str
    digest: str
    root: str = ""
    who: str
    at: datetime


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """A statement: the version with this sha256 may go to the stage."""

    app: str
    stage: str
    version: str
    digest: str
    who: str
    why: str
    at: datetime


@dataclass(frozen=True)
class CheckedSignature:
    """A stored signature, with the allowed signer who made it, or the problem with it."""

    key: str
    by: str
    problem: str = ""
    root: str = ""
    """The root that it states; empty if it states none."""

    @property
    def name(self) -> str:
        """The sha256 in its key."""
        return self.key.rpartition("/")[2].removesuffix(".sig")


@dataclass(frozen=True)
class SignedStatement:
    """A statement that was signed and stored, and the signer's name if allowed signers are known."""

    statement: Signature | Approval
    by: str


class Notary:
    """Signs with the key of a `Trust`, and checks signatures by its allowed signers."""

    def __init__(self, blobs: Blobs, logs: StageLogs, trust: Trust, clock: Callable[[], datetime]) -> None:
        self._blobs = blobs
        self._logs = logs
        self._trust = trust
        self._clock = clock
        self._judged: dict[str, tuple[str, ...]] = {}
        self._origins: dict[tuple[str, str], list[Origin]] = {}
        self._judging = Lock()

    def attest(self, statement: Signature | Approval) -> SignedStatement:
        """Sign and store a statement.

        Raises UsageError if there is no key, or it can't sign. Raises VerificationError, and stores nothing,
        if readers would not accept the signature.
        """
        text = msgspec.json.encode(statement)
        signature, by = self._sign(text, _namespace(statement), statement.at)
        name = hashlib.sha256(signature.encode()).hexdigest()
        with suppress(ConflictError):  # the name belongs to exactly this signature
            self._blobs.create(f"{_folder(statement)}{name}.sig", envelope.seal(text, (signature,)))
        return SignedStatement(statement, by)

    def sign_entry(self, state: StageState) -> tuple[str, ...]:
        """The signature of a new entry, if there is a key or signatures are required. Raises as `attest`."""
        return self._signature_of(log_rules.statement(state), state.at)

    def _signature_of(self, text: bytes, at: datetime) -> tuple[str, ...]:
        """The signature of a statement by those who may change stages; none without a key and a need."""
        if self._trust.key is None and not self._trust.policy.require_signatures:
            return ()
        signature, _ = self._sign(text, ssh_keygen.STAGE, at)
        return (signature,)

    def seal_withdrawal(self, withdrawal: Withdrawal) -> bytes:
        """A withdrawal as it is stored, signed as an entry is. Raises as `attest`."""
        text = msgspec.json.encode(withdrawal)
        return envelope.seal(text, self._signature_of(text, withdrawal.at))

    def withdrawals(self, record: ArtifactRecord) -> Iterator[Withdrawal]:
        """The withdrawals of a version that count: if signatures are required, those with a valid one."""
        for key, data in withdrawals.read(self._blobs, ArtifactId(record.app, record.version)):
            try:
                withdrawal, sealed = envelope.read(data, Withdrawal, key)
            except VerificationError:
                continue  # a stranger's object
            if (withdrawal.app, withdrawal.version, withdrawal.digest) != (
                record.app,
                record.version,
                record.digest,
            ):
                continue
            if not self._trust.policy.require_signatures or self._signers_of(sealed, withdrawal.at):
                yield withdrawal

    def signatures(self, record: ArtifactRecord, first: str = "") -> Iterator[CheckedSignature]:
        """The signatures of a version, valid or not; the one with the name `first` comes first.

        Empty if no allowed signers are known.
        """
        wanted = {"app": record.app, "version": record.version, "digest": record.digest}
        prefix = keys.signatures(ArtifactId(record.app, record.version))
        yield from self._read(prefix, Signature, wanted, first)

    def approvals(self, record: ArtifactRecord, stage: str) -> Iterator[CheckedSignature]:
        """The approvals of a version for a stage, valid or not; empty if no allowed signers are known."""
        wanted = {"app": record.app, "stage": stage, "version": record.version, "digest": record.digest}
        yield from self._read(keys.approvals(record.app, stage, record.digest), Approval, wanted)

    def signature(self, record: ArtifactRecord) -> str:
        """The name of a valid signature of a version; empty if there is none, or no signers are known."""
        return next((signature.name for signature in self.signatures(record) if signature.by), "")

    def root(self, record: ArtifactRecord, first: str = "") -> str:
        """The root of a version, or empty if nobody vouches for one.

        The record is not signed, so where signatures are required, only a valid signature can state it. The
        one with the name `first` is read first.
        """
        if not self._trust.policy.require_signatures:
            return record.root
        return next((one.root for one in self.signatures(record, first) if one.by and one.root), "")

    def approved_by(self, record: ArtifactRecord, stage: str) -> tuple[str, ...]:
        """The allowed signers who approved a version for a stage, each once."""
        return tuple(sorted({approval.by for approval in self.approvals(record, stage) if approval.by}))

    def entry_signed_by(self, entry: LogEntry) -> tuple[str, ...]:
        """The allowed signers who signed an entry; empty if no allowed signers are known.

        The keys must have been valid at the time of the entry, and at the time of every entry before it that
        counts. If they still are, no other entry is read.
        """
        at = entry.state.at
        names = self._signed_by(entry, at)
        if names and self._signed_by(entry, max(at, self._clock())) != names:
            return self._judge_log(entry)
        return names

    def all_signed_by(self, entries: Sequence[LogEntry]) -> list[tuple[str, ...]]:
        """The allowed signers of each entry; several entries are checked at a time."""
        with ThreadPoolExecutor(_THREADS) as pool:
            return list(pool.map(self.entry_signed_by, entries))

    def trusts(self, entry: LogEntry) -> bool:
        """Whether an entry belongs to its log and, if signatures are required, has a valid one."""
        required = self._trust.policy.require_signatures
        return self.belongs(entry) and (not required or bool(self.entry_signed_by(entry)))

    def belongs(self, entry: LogEntry) -> bool:
        """Whether an entry was written for this log, and not copied from that of another store."""
        state = entry.state
        if state.format == log_rules.STATEMENT_1:
            return True
        if (place := (state.app, state.stage)) not in self._origins:
            log = self._logs.of(*place)
            self._origins[place] = list(origins.read(self._blobs, log, self._may_begin))
        return origins.at(self._origins[place], state.number) in ("", state.origin)

    def begin_anew(self, state: StageState) -> None:
        """Mark an entry that is about to be written, and gives its log a new origin."""
        origins.mark(self._blobs, state)
        self._origins.pop((state.app, state.stage), None)

    def _may_begin(self, entry: LogEntry) -> bool:
        """Whether an entry may state the origin of its log: it is signed, or need not be."""
        return not self._trust.policy.require_signatures or bool(self.entry_signed_by(entry))

    def check_entry(self, entry: LogEntry) -> None:
        """Raise VerificationError for an entry that `trusts` does not accept."""
        state = entry.state
        if not self.belongs(entry):
            raise VerificationError(
                f"entry {state.number} of {state.app} {state.stage} in {self._blobs.name} was copied from "
                "another store: its log began elsewhere",
                hint=Hint(
                    "find out who can write to the store; a promotion or a rollback goes on from the last "
                    "entry of this log: {fapstore} rollback {app} {stage} --to VERSION\n"
                    "if it began anew with an entry that should not count: "
                    "{fapstore} new-origin {app} {stage} --why REASON",
                    app=state.app,
                    stage=state.stage,
                ),
            )
        if not self._logs.of(state.app, state.stage).follows(entry):
            raise VerificationError(
                f"the entry before entry {state.number} of {state.app} {state.stage} in {self._blobs.name} "
                "was changed, or that entry was copied there",
                hint=Hint(
                    "find out who can write to the store; go on above it: "
                    "{fapstore} rollback {app} {stage} --to VERSION",
                    app=state.app,
                    stage=state.stage,
                ),
            )
        if not self.trusts(entry):
            raise VerificationError(
                f"entry {state.number} of {state.app} {state.stage} in {self._blobs.name} "
                "has no valid signature",
                hint=Hint(
                    "see its author: {fapstore} history {app} {stage}\n"
                    "if it is correct: {fapstore} promote {app} {version} {stage} --key KEY",
                    app=state.app,
                    version=state.version,
                    stage=state.stage,
                ),
            )

    def check_artifact(self, record: ArtifactRecord, first: str = "") -> str:
        """Raise VerificationError if signatures are required and a version has no valid one; return the root
        that this one states, or else the record.

        The signature with the name `first` is checked first. In a store that can't be listed it is the only
        one.
        """
        if not self._trust.policy.require_signatures:
            return record.root
        problems: dict[str, None] = {}
        for signature in self.signatures(record, first):
            if signature.by:
                return signature.root
            problems[signature.problem] = None
        raise VerificationError(
            f"{record.app} {record.version} in {self._blobs.name} has no valid signature"
            + "".join(f"; {problem}" for problem in list(problems)[:3]),
            hint=Hint("{fapstore} sign {app} {version} --key KEY", app=record.app, version=record.version),
        )

    def _signed_by(self, entry: LogEntry, at: datetime) -> tuple[str, ...]:
        return self._signers_of(entry.sealed, at)

    def _signers_of(self, sealed: Envelope, at: datetime) -> tuple[str, ...]:
        if not self._trust.signers:
            return ()
        return ssh_keygen.signed_by(sealed, ssh_keygen.STAGE, self._trust.signers, at)

    def _judge_log(self, entry: LogEntry) -> tuple[str, ...]:
        """Judge the log from its first entry up to `entry`, once; return the signers of `entry`."""
        with self._judging:
            if entry.sha256 not in self._judged:
                state = entry.state
                before = self._logs.of(state.app, state.stage).all_before(state.number)
                log = [*before, entry]
                with ThreadPoolExecutor(_THREADS) as pool:
                    signed = list(pool.map(lambda each: self._signed_by(each, each.state.at), log))
                latest = datetime.min.replace(tzinfo=UTC)
                for each, names in zip(log, signed, strict=True):
                    if names and each.state.at < latest:
                        names = self._signed_by(each, latest)
                    if names:
                        latest = max(latest, each.state.at)
                    self._judged[each.sha256] = names
            return self._judged[entry.sha256]

    def _sign(self, text: bytes, namespace: str, at: datetime) -> tuple[str, str]:
        if self._trust.key is None:
            raise UsageError(
                "a signature is required, but no key is given",
                hint="use --key ~/.ssh/id_ed25519 or FAP_SIGNING_KEY; a .pub file names a key in ssh-agent",
            )
        return ssh_keygen.sign_as_allowed(text, namespace, self._trust.key, self._trust.signers, at)

    def _read(
        self, prefix: str, kind: type[Signature] | type[Approval], wanted: dict[str, str], first: str = ""
    ) -> Iterator[CheckedSignature]:
        signers = self._trust.signers
        if not signers:
            return
        before = [f"{prefix}{first}.sig"] if first else []
        for key in chain(before, self._blobs.keys(prefix) if self._blobs.can_list or not before else ()):
            try:
                statement, by = _checked(key, self._blobs.get(key), kind, wanted, signers)
                root = statement.root if isinstance(statement, Signature) else ""
                yield CheckedSignature(key, by, root=root)
            except (VerificationError, NotFoundError) as error:
                yield CheckedSignature(key, "", error.message)


def _checked(
    key: str, data: bytes, kind: type[Signature] | type[Approval], wanted: dict[str, str], signers: Path
) -> tuple[Signature | Approval, str]:
    """The statement at `key`, and its signer. Raises VerificationError unless it states what is `wanted`."""
    statement, sealed = envelope.read(data, kind, key)
    for name, value in wanted.items():
        if (stated := getattr(statement, name)) != value:
            raise VerificationError(f"a signature is for another {name}: {stated}")
    if len(sealed.signatures) != 1:
        raise VerificationError(f"{key} has {len(sealed.signatures)} signatures instead of one")
    text, namespace = bytes(sealed.statement), _namespace(statement)
    return statement, ssh_keygen.signer(text, sealed.signatures[0], namespace, signers, statement.at)


def _namespace(statement: Signature | Approval) -> str:
    return ssh_keygen.ARTIFACT if isinstance(statement, Signature) else ssh_keygen.APPROVAL


def _folder(statement: Signature | Approval) -> str:
    if isinstance(statement, Signature):
        return keys.signatures(ArtifactId(statement.app, statement.version))
    return keys.approvals(statement.app, statement.stage, statement.digest)

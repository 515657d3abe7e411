"""A store under rules, with real signatures: what an intruder with write access can't make it say."""

import hashlib
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest

from artifact_store.artifact.ids import ArtifactId
from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.actor import Actor, Stamp
from artifact_store.core.errors import (
    ConflictError,
    FapError,
    NotFoundError,
    PolicyViolationError,
    StoreError,
    UsageError,
    VerificationError,
)
from artifact_store.gc.references import Retention
from artifact_store.records import artifacts, keys, removals
from artifact_store.records.artifacts import archive_key
from artifact_store.records.envelope import seal
from artifact_store.stages import log_rules
from artifact_store.stages.policy import Policy
from artifact_store.store.maintenance import plan_gc, run_gc
from artifact_store.store.store import Store, open_store
from artifact_store.trust.rules import NO_RULES, Trust
from artifact_store.views import audit
from tests.parts.records import RELEASE_RECORD as RECORD
from tests.parts.signers import Signers
from tests.parts.tgz import entry, tgz

START = datetime(2026, 11, 22, 18, 54, 9, tzinfo=UTC)
RULES = Policy(
    stages=("staging", "production"),
    protected=("production",),
    require_released=True,
    approvals=2,
    signers="allowed_signers",
    require_signatures=True,
)
SIGNED = Policy(signers="allowed_signers", require_signatures=True)


class Place:
    """Stores on the same blobs, under one app's rules, each with the key of someone."""

    def __init__(self, signers: Signers, policy: Policy) -> None:
        self.blobs = MemoryBlobs()
        self.signers = signers
        self.policy = policy
        self.minutes = count()

    def store(self, key: Path | None = None, policy: Policy | None = None) -> Store:
        trust = Trust(
            policy=self.policy if policy is None else policy,
            policy_digest="d" * 64,
            signers=self.signers.path,
            key=key,
        )
        return Store(self.blobs, trust=trust, clock=self.clock)

    def without_rules(self) -> Store:
        return Store(self.blobs, clock=self.clock)

    def clock(self) -> datetime:
        return START + timedelta(minutes=next(self.minutes))

    def replace(self, key: str, data: bytes) -> None:
        """What someone can do who may write to the store in every way."""
        self.blobs.delete(key)
        self.blobs.create(key, data)


@pytest.fixture
def signers(tmp_path: Path) -> Signers:
    return Signers(tmp_path)


@pytest.fixture
def signed(signers: Signers, one: Path, two: Path) -> Place:
    """Versions 1 and 2, pushed and signed, where signatures are all that is demanded."""
    return place(signers, SIGNED, one, two)


@pytest.fixture
def ruled(signers: Signers, one: Path, two: Path) -> Place:
    """The same under all the rules."""
    return place(signers, RULES, one, two)


def place(signers: Signers, policy: Policy, *artifacts: Path) -> Place:
    made = Place(signers, policy)
    store = made.store(signers.allow("ci", 'namespaces="fapkit-artifact"'))
    for number, artifact in enumerate(artifacts, start=1):
        store.artifacts.publish(artifact, by=Actor("ci"))
        assert store.artifacts.sign("shop", str(number), by=Actor("ci")).by == "ci@example.com"
    signers.allow("ann")
    return made


def released(store: Store, version: str, stage: str, **more: Any) -> None:
    """Tell the store that the stage's version was released and is healthy."""
    state = store.stages.head("shop", stage)
    assert state is not None
    record = msgspec.structs.replace(
        RECORD, stage=stage, version=version, digest=state.digest, entry=state.number, operation=version
    )
    store.records.add_release(msgspec.structs.replace(record, **more))


def test_a_signed_promotion_is_read_where_signatures_are_demanded(signed: Place, tmp_path: Path) -> None:
    ann = signed.store(signed.signers.key("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    state = signed.store().stages.head("shop", "staging")
    assert state is not None
    assert (state.version, state.policy, state.overrode) == ("1", "d" * 64, ())
    (entry,) = signed.store().stages.history("shop", "staging")
    assert signed.store().notary.entry_signed_by(entry) == ("ann@example.com",)
    assert signed.store().artifacts.fetch("shop", "1", tmp_path / "got.tgz").is_file()


def test_the_very_bytes_of_the_statement_are_signed(signed: Place) -> None:
    signed.store(signed.signers.key("ann")).stages.promote("shop", "1", "staging", by=Actor("ann"))
    key = keys.entry("shop", "staging", 1)
    data = signed.blobs.get(key)
    for before, after in ((b'"who":"ann"', b'"who": "ann"'), (b'"who":"ann"', b'"who":"eve"')):
        assert before in data
        signed.replace(key, data.replace(before, after))
        with pytest.raises(VerificationError, match="entry 1 of shop staging in memory has no valid"):
            signed.store().stages.head("shop", "staging")
    signed.replace(key, data)
    assert signed.store().stages.head("shop", "staging")


def test_an_entry_without_a_key_or_by_an_unknown_one_is_not_written(signed: Place) -> None:
    with pytest.raises(UsageError, match="a signature is required, but no key is given"):
        signed.store().stages.promote("shop", "1", "staging", by=Actor("ann"))
    with pytest.raises(VerificationError, match="readers would not accept"):
        signed.store(signed.signers.key("eve")).stages.promote("shop", "1", "staging", by=Actor("eve"))
    assert signed.store().stages.head("shop", "staging") is None


def test_what_eve_writes_is_not_read(signed: Place) -> None:
    ann = signed.store(signed.signers.key("ann"))
    ann.stages.promote("shop", "2", "staging", by=Actor("ann"))
    signed.without_rules().stages.promote("shop", "1", "staging", by=Actor("ann"))
    with pytest.raises(VerificationError, match="entry 2 of shop staging") as error:
        signed.store().stages.head("shop", "staging")
    assert "fapstore promote shop 1 staging --key KEY" in error.value.hint
    eve = Store(signed.blobs, trust=Trust(policy=Policy(), key=signed.signers.key("eve")))
    eve.stages.promote("shop", "2", "staging", by=Actor("ann"))
    with pytest.raises(VerificationError, match="entry 3 of shop staging"):
        signed.store().stages.head("shop", "staging")


def test_an_unsigned_entry_is_signed_by_promoting_again(signed: Place) -> None:
    signed.without_rules().stages.promote("shop", "1", "staging", by=Actor("ann"))
    ann = signed.store(signed.signers.key("ann"))
    assert ann.stages.promote("shop", "1", "staging", by=Actor("ann")).state.number == 2
    assert not ann.stages.promote("shop", "1", "staging", by=Actor("ann")).changed
    assert signed.store().stages.head("shop", "staging")


def test_what_eve_states_is_never_signed_by_others(signed: Place) -> None:
    ann, eve = signed.store(signed.signers.key("ann")), signed.without_rules()
    ann.stages.promote("shop", "2", "staging", by=Actor("ann"))
    eve.stages.promote("shop", "1", "staging", by=Actor("eve"))
    frozen = ann.stages.freeze("shop", "staging", by=Actor("ann"), why="sale").state
    assert (frozen.number, frozen.version, frozen.frozen) == (3, "2", True)
    eve.stages.unfreeze("shop", "staging", by=Actor("eve"), why="")
    with pytest.raises(StoreError, match="frozen by ann: sale"):
        ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    again = ann.stages.freeze("shop", "staging", by=Actor("ann"), why="sale").state
    assert (again.number, again.version) == (5, "2")
    assert ann.stages.freeze("shop", "staging", by=Actor("ann"), why="sale").changed is False
    assert len(signed.store().stages.history("shop", "staging")) == 5


def test_eve_freezes_nothing(signed: Place) -> None:
    ann = signed.store(signed.signers.key("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    signed.without_rules().stages.freeze("shop", "staging", by=Actor("eve"), why="for ever")
    assert ann.stages.promote("shop", "2", "staging", by=Actor("ann")).state.number == 3
    signed.without_rules().stages.promote("shop", "1", "production", by=Actor("eve"))
    with pytest.raises(NotFoundError, match="shop production has no version yet"):
        ann.stages.freeze("shop", "production", by=Actor("ann"), why="sale")


@pytest.mark.parametrize("to", [("staging", 2), ("production", 1), ("staging", 3)])
def test_an_entry_replayed_in_another_place_is_refused(signed: Place, to: tuple[str, int]) -> None:
    ann = signed.store(signed.signers.key("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    if to[1] == 3:
        ann.stages.promote("shop", "2", "staging", by=Actor("ann"))
    signed.blobs.create(keys.entry("shop", *to), signed.blobs.get(keys.entry("shop", "staging", 1)))
    with pytest.raises(VerificationError, match="belongs to entry 1 of shop staging"):
        signed.store().stages.head("shop", to[0])


def test_an_entry_replayed_for_another_app_is_refused(signed: Place) -> None:
    signed.store(signed.signers.key("ann")).stages.promote("shop", "1", "staging", by=Actor("ann"))
    data = signed.blobs.get(keys.entry("shop", "staging", 1))
    signed.blobs.create(keys.entry("blog", "staging", 1), data)
    with pytest.raises(VerificationError, match="belongs to entry 1 of shop staging"):
        signed.store().stages.head("blog", "staging")
    signed.replace(keys.entry("blog", "staging", 1), data.replace(b'"shop"', b'"blog"'))
    with pytest.raises(VerificationError, match="no valid signature"):
        signed.store().stages.head("blog", "staging")


def test_a_signature_of_an_entry_does_not_fit_another_statement(signed: Place) -> None:
    ann = signed.store(signed.signers.key("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    (entry,) = ann.stages.history("shop", "staging")
    forged = msgspec.structs.replace(entry.state, number=2, version="2", previous=entry.sha256)
    data = seal(log_rules.statement(forged), entry.sealed.signatures)
    signed.blobs.create(keys.entry("shop", "staging", 2), data)
    with pytest.raises(VerificationError, match="entry 2 of shop staging"):
        signed.store().stages.head("shop", "staging")


def test_a_swapped_artifact_is_neither_fetched_nor_promoted(signed: Place, tmp_path: Path) -> None:
    evil = tgz(tmp_path, files={"app.py": b"evil"})
    digest = hashlib.sha256(evil.read_bytes()).hexdigest()
    artifact = ArtifactId("shop", "1")
    record = msgspec.structs.replace(
        signed.store().artifacts.get("shop", "1"), digest=digest, root="", size=evil.stat().st_size
    )
    signed.blobs.create(archive_key(record), evil.read_bytes())
    signed.replace(keys.record(artifact), msgspec.json.encode(record))
    for call in (
        lambda: signed.store().artifacts.fetch("shop", "1", tmp_path / "got.tgz"),
        lambda: signed.store().artifacts.link("shop", "1"),
    ):
        with pytest.raises(
            VerificationError, match=r"shop 1 in memory has no valid signature; .*another digest"
        ):
            call()
    with pytest.raises(PolicyViolationError, match="1 has no valid signature"):
        signed.store(signed.signers.key("ann")).stages.promote("shop", "1", "staging", by=Actor("ann"))
    assert not (tmp_path / "got.tgz").exists()
    (check,) = audit.everything(signed.store(), trust_of(signed), "shop", "1")
    assert check.problems == ("no valid signature",)
    with pytest.raises(VerificationError, match="shop 1 in memory has the sha256"):
        signed.store(signed.signers.key("ci")).artifacts.sign("shop", "1", by=Actor("ci"), digest="a" * 64)


def trust_of(place: Place) -> Trust:
    return Trust(policy=place.policy, policy_digest="d" * 64, signers=place.signers.path)


@pytest.mark.parametrize(("line", "counts"), [("20261122", False), ("20261123", True)])
def test_an_expired_key_signs_nothing(signers: Signers, one: Path, line: str, counts: bool) -> None:
    made = Place(signers, SIGNED)
    made.without_rules().artifacts.publish(one, by=Actor("ci"))
    store = made.store(signers.allow("ci", f'valid-before="{line}"'))
    if counts:
        assert store.artifacts.sign("shop", "1", by=Actor("ci")).by == "ci@example.com"
    else:
        with pytest.raises(VerificationError, match="its key had expired"):
            store.artifacts.sign("shop", "1", by=Actor("ci"))


def test_a_signature_whose_key_was_taken_out_is_none(signed: Place, tmp_path: Path) -> None:
    lines = signed.signers.path.read_text().splitlines(keepends=True)
    signed.signers.path.write_text("".join(line for line in lines if not line.startswith("ci@")))
    with pytest.raises(VerificationError, match="its key is not in"):
        signed.store().artifacts.fetch("shop", "1", tmp_path / "got.tgz")


def test_a_second_signature_helps(signed: Place, tmp_path: Path) -> None:
    lines = signed.signers.path.read_text().splitlines(keepends=True)
    signed.signers.path.write_text("".join(line for line in lines if not line.startswith("ci@")))
    signed.blobs.create(f"{keys.signatures(ArtifactId('shop', '1'))}junk.sig", b"junk")
    signed.store(signed.signers.key("ann")).artifacts.sign("shop", "1", by=Actor("ann"))
    assert signed.store().artifacts.fetch("shop", "1", tmp_path / "got.tgz").is_file()


def test_bytes_that_no_host_accepts_are_neither_signed_nor_verified(
    signers: Signers, one: Path, tmp_path: Path
) -> None:
    """Someone put them there with a record that is right about them."""
    made = Place(signers, SIGNED)
    store = made.store(signers.allow("ci"))
    store.artifacts.publish(one, by=Actor("ci"))
    record = store.artifacts.get("shop", "1")
    evil = tgz(tmp_path, extra=entry("evil.py", b"x")).read_bytes()
    other = tgz(tmp_path, version="2").read_bytes()
    for data, problem in ((evil, "'evil.py' is not in the manifest"), (other, "its manifest names shop 2")):
        digest = hashlib.sha256(data).hexdigest()
        forged = msgspec.structs.replace(record, digest=digest, size=len(data))
        made.replace(keys.record(ArtifactId("shop", "1")), artifacts.encode(forged))
        made.blobs.create(archive_key(forged), data)
        with pytest.raises(VerificationError, match=problem):
            store.artifacts.sign("shop", "1", by=Actor("ci"))
        (check,) = audit.everything(made.without_rules(), trust_of(made), "shop", "1")
        assert any(problem in text for text in check.problems)


class Forgetful(MemoryBlobs):
    """A place that loses the reply of every create; the client's retry then finds its key taken."""

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        super().create(key, body, sha256)
        raise ConflictError("412")


def test_who_signs_and_loses_the_reply_has_signed(signers: Signers, one: Path) -> None:
    made = Place(signers, SIGNED)
    made.blobs = Forgetful()
    store = made.store(signers.allow("ann"))
    store.artifacts.publish(one, by=Actor("ann"))
    assert store.artifacts.sign("shop", "1", by=Actor("ann")).by == "ann@example.com"
    assert store.notary.signature(store.artifacts.get("shop", "1"))
    assert store.stages.promote("shop", "1", "staging", by=Actor("ann")).changed


def test_a_signature_of_another_version_is_none(signed: Place, tmp_path: Path) -> None:
    first, second = (keys.signatures(ArtifactId("shop", version)) for version in "12")
    for key in list(signed.blobs.keys(first)):
        signed.blobs.delete(key)
    for key in list(signed.blobs.keys(second)):
        signed.blobs.create(key.replace(second, first), signed.blobs.get(key))
    with pytest.raises(VerificationError, match="for another version: 2"):
        signed.store().artifacts.fetch("shop", "1", tmp_path / "got.tgz")


def test_a_key_for_artifacts_promotes_nothing(signed: Place) -> None:
    with pytest.raises(VerificationError, match="another purpose"):
        signed.store(signed.signers.key("ci")).stages.promote("shop", "1", "staging", by=Actor("ci"))


def approve(place: Place, *names: str, stage: str = "production") -> None:
    for name in names:
        key = place.signers.key(name)
        place.store(key).stages.approve("shop", "1", stage, by=Actor(name))


def on_staging(ruled: Place) -> Store:
    ann = ruled.store(ruled.signers.key("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    released(ann, "1", "staging")
    ruled.signers.allow("bob")
    return ann


def test_the_way_to_production(ruled: Place) -> None:
    ann = ruled.store(ruled.signers.key("ann"))
    refused = [
        (
            "1 was never on staging; 1 has 0 of 2 approvals",
            lambda: ann.stages.promote("shop", "1", "staging", by=Actor("ann")),
        ),
        ("never released there", lambda: released(ann, "1", "staging", outcome="undone", operation="first")),
        ("not healthy as web", lambda: released(ann, "1", "staging")),
        ("1 has 0 of 2 approvals", lambda: approve(ruled, "ann")),
        (r"1 has 1 of 2 approvals \(ann@example.com\)", lambda: approve(ruled, "ann")),
        (r"1 has 1 of 2 approvals", lambda: (ruled.signers.allow("bob"), approve(ruled, "bob"))),
    ]
    for says, then in refused:
        with pytest.raises(PolicyViolationError, match=says) as error:
            ann.stages.promote("shop", "1", "production", by=Actor("ann"))
        assert "--override" in error.value.hint
        then()
    assert ann.stages.promote("shop", "1", "production", by=Actor("ann")).state.overrode == ()


def walk(url: str, signers: Signers, one: Path) -> None:
    """Sign, promote, approve and promote again, in a real place; then look at it all."""
    policy = msgspec.structs.replace(RULES, require_released=False, approvals=1)
    trust = Trust(policy=policy, policy_digest="d" * 64, signers=signers.path, key=signers.allow("ann"))
    ann, reader = open_store(url, trust), open_store(url, Trust(policy=policy, signers=signers.path))
    ann.artifacts.publish(one, by=Actor("ann"))
    ann.artifacts.sign("shop", "1", by=Actor("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    with pytest.raises(PolicyViolationError, match="0 of 1 approvals"):
        ann.stages.promote("shop", "1", "production", by=Actor("ann"))
    ann.stages.approve("shop", "1", "production", by=Actor("ann"))
    ann.stages.promote("shop", "1", "production", by=Actor("ann"))
    found = reader.stages.head_with_link("shop", "production")
    assert found is not None
    assert found[0].approved_by == ("ann@example.com",)
    checks = list(audit.everything(reader, trust, "shop", every=True))
    assert len(checks) == 5
    assert not [check for check in checks if check.problems]


def test_the_way_to_production_in_a_folder(signers: Signers, one: Path, tmp_path: Path) -> None:
    walk(f"file://{tmp_path}/store", signers, one)


@pytest.mark.s3
def test_the_way_to_production_on_s3(signers: Signers, one: Path, s3_url: str) -> None:
    walk(s3_url, signers, one)


def test_a_record_that_names_other_bytes_than_the_stage_is_noticed(signed: Place) -> None:
    signed.store(signed.signers.key("ann")).stages.promote("shop", "1", "staging", by=Actor("ann"))
    record = signed.store().artifacts.get("shop", "1")
    other = msgspec.structs.replace(record, digest=signed.store().artifacts.get("shop", "2").digest)
    signed.replace(keys.record(ArtifactId("shop", "1")), msgspec.json.encode(other))
    with pytest.raises(
        VerificationError, match=f"1 has the sha256 {record.digest}, but its record says {other.digest}"
    ):
        signed.without_rules().stages.head_with_link("shop", "staging")


def test_two_keys_of_one_person_are_one_approval(ruled: Place) -> None:
    ann = on_staging(ruled)
    approve(ruled, "ann")
    ruled.store(ruled.signers.allow("ann", key="second")).stages.approve(
        "shop", "1", "production", by=Actor("ann")
    )
    with pytest.raises(PolicyViolationError, match="1 of 2 approvals"):
        ann.stages.promote("shop", "1", "production", by=Actor("ann"))


def test_an_approval_is_for_one_stage_and_one_version(ruled: Place) -> None:
    ann = on_staging(ruled)
    approve(ruled, "ann", "bob", stage="staging")
    digest = ann.artifacts.get("shop", "1").digest
    source, target = (keys.approvals("shop", stage, digest) for stage in ("staging", "production"))
    for key in list(ruled.blobs.keys(source)):
        ruled.blobs.create(key.replace(source, target), ruled.blobs.get(key))
    with pytest.raises(PolicyViolationError, match="0 of 2 approvals"):
        ann.stages.promote("shop", "1", "production", by=Actor("ann"))


def test_an_approval_by_an_unknown_key_is_not_stored_and_not_counted(ruled: Place) -> None:
    ann = on_staging(ruled)
    with pytest.raises(VerificationError, match="readers would not accept"):
        approve(ruled, "eve")
    eve = Store(ruled.blobs, trust=Trust(policy=Policy(), key=ruled.signers.key("eve")))
    for who in ("ann", "bob"):
        eve.stages.approve("shop", "1", "production", by=Actor(who))
    with pytest.raises(PolicyViolationError, match="0 of 2 approvals"):
        ann.stages.promote("shop", "1", "production", by=Actor("ann"))


def test_an_override_is_recorded(ruled: Place) -> None:
    ann = ruled.store(ruled.signers.key("ann"))
    change = ann.stages.promote("shop", "1", "production", by=Actor("ann"), override="the site is down")
    assert (change.state.overrode, change.state.reason) == (("order", "approvals"), "the site is down")
    checks = audit.everything(ruled.store(), trust_of(ruled), "shop")
    notes = [note for check in checks for note in check.notes]
    assert notes == ["entry 1: ann overrode order, approvals for 1: the site is down"]


def test_a_reason_overrides_only_what_refuses(ruled: Place) -> None:
    on_staging(ruled)
    approve(ruled, "ann", "bob")
    ann = ruled.store(ruled.signers.key("ann"))
    state = ann.stages.promote("shop", "1", "production", by=Actor("ann"), override="to be sure").state
    assert (state.overrode, state.reason) == ((), "")


def test_no_reason_replaces_the_signature_of_the_entry(ruled: Place) -> None:
    with pytest.raises(UsageError, match="no key is given"):
        ruled.store().stages.promote("shop", "1", "production", by=Actor("ann"), override="the site is down")


def test_a_rollback_needs_no_approvals(ruled: Place) -> None:
    ann = ruled.store(ruled.signers.key("ann"))
    for version in "12":
        ann.stages.promote("shop", version, "production", by=Actor("ann"), override="no time")
    state = ann.stages.rollback("shop", "production", by=Actor("ann"), why="500s").state
    assert (state.version, state.overrode) == ("1", ())


def test_a_rollback_goes_to_nothing_that_only_eve_put_there(ruled: Place) -> None:
    ruled.without_rules().stages.promote("shop", "1", "production", by=Actor("ann"))
    ann = ruled.store(ruled.signers.key("ann"))
    ann.stages.promote("shop", "2", "production", by=Actor("ann"), override="no time")
    with pytest.raises(PolicyViolationError, match="no entry that put 1 on production has a valid signature"):
        ann.stages.rollback("shop", "production", by=Actor("ann"))
    assert ann.stages.rollback(
        "shop", "production", by=Actor("ann"), override="it was me"
    ).state.overrode == ("signed",)


def test_an_entry_without_a_key_cancels_no_rollback(signed: Place, tmp_path: Path) -> None:
    ann = signed.store(signed.signers.key("ann"))
    for version in "12":
        ann.stages.promote("shop", version, "staging", by=Actor("ann"))
    signed.without_rules().stages.promote("shop", "1", "staging", by=Actor("eve"), override="x")
    assert ann.stages.rollback("shop", "staging", by=Actor("ann")).state.version == "1"


def test_a_dirty_version_reaches_no_protected_stage(ruled: Place, tmp_path: Path) -> None:
    ann = ruled.store(ruled.signers.key("ann"))
    ann.artifacts.publish(tgz(tmp_path, version="3+dirty.1"), by=Actor("ann"))
    ann.artifacts.sign("shop", "3+dirty.1", by=Actor("ann"))
    assert ann.stages.promote("shop", "3+dirty.1", "staging", by=Actor("ann")).changed
    with pytest.raises(PolicyViolationError, match="packed from a tree with uncommitted changes"):
        ann.stages.promote("shop", "3+dirty.1", "production", by=Actor("ann"))


def test_a_tree_with_changes_is_known_from_the_manifest_too(ruled: Place, tmp_path: Path) -> None:
    ann = ruled.store(ruled.signers.key("ann"))
    ann.artifacts.publish(tgz(tmp_path, version="3", dirty=True), by=Actor("ann"))
    assert ann.artifacts.get("shop", "3").dirty
    with pytest.raises(PolicyViolationError, match="packed from a tree with uncommitted changes"):
        ann.stages.promote("shop", "3", "production", by=Actor("ann"))


def test_the_policy_asks_about_the_last_stay_on_the_stage_before(ruled: Place) -> None:
    ann = on_staging(ruled)
    approve(ruled, "ann", "bob")
    ann.stages.promote("shop", "2", "staging", by=Actor("ann"))
    ann.stages.rollback("shop", "staging", by=Actor("ann"))
    with pytest.raises(PolicyViolationError, match="it was never released there"):
        ann.stages.promote("shop", "1", "production", by=Actor("ann"))
    ann.stages.freeze("shop", "staging", by=Actor("ann"), why="sale")
    released(ann, "1", "staging", operation="again", release="r2")
    assert ann.stages.promote("shop", "1", "production", by=Actor("ann")).changed


@pytest.mark.parametrize("policy", [Policy(), RULES])
def test_an_unknown_stage_is_refused_where_the_stages_are_named(ruled: Place, policy: Policy) -> None:
    store = ruled.store(ruled.signers.key("ann"), policy)
    if policy.stages:
        with pytest.raises(UsageError, match="prodution is not one of") as error:
            store.stages.promote("shop", "1", "prodution", by=Actor("ann"), override="really")
        assert error.value.hint == "did you mean production?"
    else:
        assert store.stages.promote("shop", "1", "prodution", by=Actor("ann")).changed


def problems(place: Place, *, every: bool = True) -> list[str]:
    checks = audit.everything(place.store(), trust_of(place), "shop", every=every)
    return [problem for check in checks for problem in check.problems]


def test_an_audit_of_what_is_right(ruled: Place) -> None:
    ann = on_staging(ruled)
    approve(ruled, "ann", "bob")
    ann.stages.promote("shop", "1", "production", by=Actor("ann"))
    checks = list(audit.everything(ruled.store(), trust_of(ruled), "shop", every=True))
    assert [check.what for check in checks] == [
        "shop production",
        "shop production releases",
        "shop staging",
        "shop staging releases",
        "shop 1",
        "shop 2",
    ]
    assert not [check for check in checks if check.problems or check.notes]
    assert "signed by ci@example.com" in checks[-1].result
    stages_only = audit.everything(ruled.store(), trust_of(ruled), "shop")
    assert [check.what for check in stages_only][-1] == "shop 1"


def test_an_audit_finds_what_was_changed(ruled: Place) -> None:
    ann = on_staging(ruled)
    ruled.replace(archive_key(ann.artifacts.get("shop", "2")), b"evil")
    ruled.without_rules().stages.promote("shop", "2", "staging", by=Actor("eve"))
    released(ruled.without_rules(), "2", "staging", digest="e" * 64, operation="eve")
    found = "\n".join(problems(ruled))
    for part in (
        f"its bytes have the sha256 {hashlib.sha256(b'evil').hexdigest()} (4 bytes)",
        "entry 2 without a valid signature",
        "released 2 (eeeeeeeeeeee) for entry 2, but that entry names 2 (",
    ):
        assert part in found


def written(place: Place, version: str, number: int, at: datetime, key: Path) -> None:
    """Put an entry for `version` in the log, as someone with this key and write access can."""
    store = Store(place.blobs, trust=Trust(policy=Policy(), key=key))
    last = next(store.stages.log("shop", "staging").readable())
    digest = store.artifacts.get("shop", version).digest
    state = msgspec.structs.replace(
        last.state, number=number, previous=last.sha256, version=version, digest=digest, at=at
    )
    entry = log_rules.encode(state, store.notary.sign_entry(state))
    place.blobs.create(keys.entry("shop", "staging", number), entry)


def test_a_retired_key_signs_nothing_new_whatever_time_it_names(signed: Place) -> None:
    """The case backdated-key: now is November, and ann's key ended in June."""
    signed.signers.path.write_text("")
    signed.signers.allow("ci", 'namespaces="fapkit-artifact"')
    old = signed.signers.allow("ann", 'valid-before="20260601"')
    bob = signed.store(signed.signers.allow("bob"))
    for version in "121":
        bob.stages.promote("shop", version, "staging", by=Actor("bob"))
    for number, minute in ((4, 0), (5, 1)):  # the second one follows the first in time
        written(signed, "2", number, datetime(2026, 5, 1, 12, minute, tzinfo=UTC), old)
        with pytest.raises(VerificationError, match=f"entry {number} of shop staging in memory has no valid"):
            signed.store().stages.head("shop", "staging")
    check = next(audit.everything(signed.store(), trust_of(signed), "shop"))
    assert check.problems == ("entries 4-5 without a valid signature",)
    state = bob.stages.promote("shop", "2", "staging", by=Actor("bob")).state
    assert (state.number, state.at > START) == (6, True)
    assert signed.store().stages.head("shop", "staging") == state


def test_a_retired_key_begins_no_log_anew(signed: Place) -> None:
    old = signed.signers.allow("old", 'valid-before="20260601"')
    ann = signed.store(signed.signers.key("ann"))
    for version in "12":
        state = ann.stages.promote("shop", version, "staging", by=Actor("ann")).state
    last = next(ann.stages.log("shop", "staging").readable())
    forged = msgspec.structs.replace(
        state,
        number=3,
        previous=last.sha256,
        action="new-origin",
        operation="e" * 32,
        origin="e" * 32,
        at=datetime(2026, 5, 1, tzinfo=UTC),
    )
    signature = Store(signed.blobs, trust=Trust(policy=Policy(), key=old)).notary.sign_entry(forged)
    signed.blobs.create(keys.entry("shop", "staging", 3), log_rules.encode(forged, signature))
    signed.blobs.create(keys.origin("shop", "staging", 1), b'{"entry":3}')
    with pytest.raises(VerificationError, match="was copied from another store") as error:
        signed.store().stages.head("shop", "staging")
    assert "new-origin shop staging" in error.value.hint
    again = signed.store(signed.signers.key("ann")).stages
    state = again.rollback("shop", "staging", by=Actor("ann")).state
    assert state.version == "1"
    assert signed.store().stages.head("shop", "staging") == state


def test_what_a_key_signed_before_it_was_retired_stays_good(signed: Place) -> None:
    signed.signers.path.write_text("")
    signed.signers.allow("ci", 'namespaces="fapkit-artifact"')
    ann = signed.store(signed.signers.allow("ann", 'valid-before="20261123"'))
    for version in "12":
        state = ann.stages.promote("shop", version, "staging", by=Actor("ann")).state
    signed.minutes = count(60 * 24 * 30)  # a month later
    assert signed.store().stages.head("shop", "staging") == state
    signers = signed.store().notary.all_signed_by(signed.store().stages.history("shop", "staging"))
    assert signers == [("ann@example.com",)] * 2
    with pytest.raises(VerificationError, match="readers would not accept"):
        ann.stages.promote("shop", "1", "staging", by=Actor("ann"))


def test_an_audit_finds_what_was_promoted_past_the_rules(ruled: Place) -> None:
    """The case approvals-bypass: ann may sign entries, and promotes where there are no rules."""
    signed_only = ruled.store(ruled.signers.key("ann"), SIGNED)
    signed_only.stages.promote("shop", "1", "production", by=Actor("ann"))
    check = next(audit.everything(ruled.store(), trust_of(ruled), "shop"))
    assert check.problems == (
        "the rules do not allow shop 1 on production: 1 was never on staging; 1 has 0 of 2 approvals",
    )
    signed_only.stages.promote("shop", "1", "staging", by=Actor("ann"))
    ruled.signers.allow("bob")
    approve(ruled, "ann", "bob")
    assert next(audit.everything(ruled.store(), trust_of(ruled), "shop")).problems == ()


def test_an_audit_finds_times_that_run_backwards_and_another_log(signed: Place) -> None:
    ann = signed.store(signed.signers.key("ann"))
    first = ann.stages.promote("shop", "1", "staging", by=Actor("ann")).state
    for number, change in enumerate(({"at": first.at - timedelta(days=1)}, {"origin": "another"}), start=2):
        (*_, last) = ann.stages.history("shop", "staging")
        state = msgspec.structs.replace(
            first, number=number, previous=last.sha256, operation=f"op-{number}", **change
        )
        entry = log_rules.encode(state, ann.notary.sign_entry(state))
        signed.blobs.create(keys.entry("shop", "staging", number), entry)
    check = next(audit.everything(signed.store(), trust_of(signed), "shop"))
    assert check.problems == (
        "entry 2 of shop staging says that it was made before entry 1",
        f"entry 3 of shop staging belongs to another log, which began with another, not with {first.origin}",
    )


def test_what_is_not_signed_has_no_say_in_times_and_origin(signed: Place) -> None:
    ann, eve = signed.store(signed.signers.key("ann")), signed.without_rules()
    first = ann.stages.promote("shop", "1", "staging", by=Actor("ann")).state
    late = Store(signed.blobs, clock=lambda: START + timedelta(days=9000))
    late.stages.promote("shop", "2", "staging", by=Actor("eve"))
    eve.stages.promote("shop", "2", "production", by=Actor("eve"))
    for stage in ("staging", "production"):
        state = ann.stages.promote("shop", "1", stage, by=Actor("ann")).state
        assert (state.number, state.at < START + timedelta(days=1)) == (3 if stage == "staging" else 2, True)
        assert state.origin == (first.origin if stage == "staging" else state.operation)
    checks = audit.everything(signed.store(), trust_of(signed), "shop")
    assert [problem for check in checks for problem in check.problems if "signature" not in problem] == []


def test_an_audit_of_damage_goes_on(ruled: Place) -> None:
    on_staging(ruled)
    ruled.replace(keys.record(ArtifactId("shop", "2")), b"junk")
    ruled.blobs.delete(archive_key(ruled.store().artifacts.get("shop", "1")))
    ruled.replace(keys.entry("shop", "staging", 1), b"junk")
    found = "\n".join(problems(ruled))
    for part in (
        "entry 1 of shop staging can't be read",
        "the record of shop 2 can't be read",
        "does not exist in memory",
    ):
        assert part in found


def test_an_audit_tells_what_was_done_before_there_were_rules(signed: Place) -> None:
    signed.without_rules().stages.promote("shop", "1", "staging", by=Actor("ann"))
    signed.without_rules().stages.promote("shop", "2", "staging", by=Actor("ann"))
    signed.store(signed.signers.key("ann")).stages.promote("shop", "1", "staging", by=Actor("ann"))
    checks = audit.everything(signed.store(), trust_of(signed), "shop")
    notes = [note for check in checks for note in check.notes]
    assert notes == ["entries 1-2 written without rules", "entries 1-2 before the first valid signature"]
    assert problems(signed) == []
    plain = audit.everything(signed.without_rules(), NO_RULES, "shop", "1")
    assert [check.notes for check in plain] == [("signatures not checked: no allowed signers are known",)]


def test_reading_needs_no_key_and_never_writes(ruled: Place) -> None:
    on_staging(ruled)
    before = sorted(ruled.blobs.keys("shop/"))
    problems(ruled)
    ruled.store().stages.head("shop", "staging")
    with pytest.raises(FapError):
        ruled.store().stages.promote("shop", "1", "production", by=Actor("ann"))
    assert sorted(ruled.blobs.keys("shop/")) == before


def test_a_promotion_that_loses_against_gc_is_taken_back_by_a_signed_entry(
    signed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = signed.store(signed.signers.key("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    create = signed.blobs.create
    mark = keys.removal(ArtifactId("shop", "2"), "f" * 32)

    def marked_at_the_same_moment(key: str, *content: Any) -> None:
        create(key, *content)
        if key == keys.entry("shop", "staging", 2):
            by = Stamp(who="gc", at=START, ci="", operation="f" * 32)
            create(mark, removals.encode(removals.Removal(app="shop", version="2", by=by)))

    monkeypatch.setattr(signed.blobs, "create", marked_at_the_same_moment)
    with pytest.raises(StoreError, match="was removed with `fapstore gc` by gc"):
        ann.stages.promote("shop", "2", "staging", by=Actor("ann"))
    last = next(signed.store().stages.log("shop", "staging").readable())
    assert (last.state.number, last.state.action, last.state.version) == (3, "rollback", "1")
    assert last.state.policy == "d" * 64
    assert signed.store().notary.entry_signed_by(last) == ("ann@example.com",)
    found = signed.store().stages.head_with_link("shop", "staging")
    assert found
    assert found[0].version == "1"


def test_entries_without_a_key_do_not_make_gc_remove_what_a_stage_runs(signed: Place, tmp_path: Path) -> None:
    for version in "3456":
        signed.without_rules().artifacts.publish(tgz(tmp_path, version=version), by=Actor("ci"))
    ann = signed.store(signed.signers.key("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    ann.stages.promote("shop", "2", "staging", by=Actor("ann"))
    for version in "3456" * 2:
        signed.without_rules().stages.promote("shop", version, "staging", by=Actor("eve"))
    collector = Store(
        signed.blobs, trust=trust_of(signed), clock=lambda: datetime.now(UTC) + timedelta(days=99)
    )
    done = run_gc(collector, plan_gc(collector, "shop", Retention(keep=2)), by=Actor("gc"), wait=lambda: None)
    assert done.removed == ("3", "4")
    assert ann.stages.rollback("shop", "staging", to="1", by=Actor("ann")).changed
    assert ann.stages.head_with_link("shop", "staging") is not None
    ann.artifacts.fetch("shop", "2", tmp_path / "got.tgz")


def test_a_forged_entry_that_breaks_the_chain_keeps_nobody_from_going_back(
    signed: Place,
) -> None:
    ann = signed.store(signed.signers.key("ann"))
    ann.stages.promote("shop", "1", "staging", by=Actor("ann"))
    ann.stages.promote("shop", "2", "staging", by=Actor("ann"))
    forged = msgspec.structs.replace(
        ann.stages.head("shop", "staging"), number=3, previous="0" * 64, version="1"
    )
    signed.blobs.create(keys.entry("shop", "staging", 3), log_rules.encode(forged))
    assert ann.stages.rollback("shop", "staging", to="1", by=Actor("ann")).state.number == 4
    again = ann.stages.promote("shop", "2", "staging", by=Actor("ann"), override="it was not at fault")
    assert again.state.number == 5
    assert ann.stages.head("shop", "staging") is not None
    with pytest.raises(VerificationError, match="the entry before entry 3 was changed"):
        ann.stages.history("shop", "staging")


def test_a_copy_of_an_entry_that_a_stranger_left_is_no_problem(signed: Place) -> None:
    ann = signed.store(signed.signers.key("ann"))
    state = ann.stages.promote("shop", "1", "staging", by=Actor("ann")).state
    forged = msgspec.structs.replace(state, version="2", operation="e" * 32)
    for operation, data in (("e" * 32, log_rules.encode(forged)), ("f" * 32, b"junk")):
        signed.blobs.create(keys.receipt("shop", "staging", 1, operation), data)
    assert next(audit.everything(signed.store(), trust_of(signed), "shop")).problems == ()
    lost = log_rules.encode(forged, ann.notary.sign_entry(forged))
    signed.replace(keys.receipt("shop", "staging", 1, "e" * 32), lost)
    (problem,) = next(audit.everything(signed.store(), trust_of(signed), "shop")).problems
    assert "accepted by the store, and is not in the log" in problem

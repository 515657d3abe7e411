"""The root of an artifact: who states it, and whom readers believe."""

import hashlib
import zlib
from pathlib import Path

import msgspec
import pytest

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.actor import Actor
from artifact_store.core.errors import VerificationError
from artifact_store.records import artifacts, envelope, keys
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store
from artifact_store.trust.rules import Trust
from artifact_store.trust.signatures import Signature
from tests.parts.signers import Signers
from tests.parts.tgz import to_old_format

ANN = Actor("ann")
FORGED = "f" * 64


def root_of(path: Path) -> str:
    """The sha256 of the first gzip member."""
    data, inflater = path.read_bytes(), zlib.decompressobj(31)
    inflater.decompress(data)
    return hashlib.sha256(data[: len(data) - len(inflater.unused_data)]).hexdigest()


@pytest.fixture
def blobs() -> MemoryBlobs:
    return MemoryBlobs()


@pytest.fixture
def signers(tmp_path: Path) -> Signers:
    made = Signers(tmp_path)
    made.allow("ann")
    return made


def signing(blobs: MemoryBlobs, signers: Signers, *, required: bool) -> Store:
    """A store with the key of ann."""
    policy = Policy(signers="allowed_signers", require_signatures=required)
    return Store(blobs, trust=Trust(policy=policy, signers=signers.path, key=signers.key("ann")))


def forge(blobs: MemoryBlobs, **values: str) -> None:
    """Change the record of version 1, as someone can who may write to the store in every way."""
    artifact = artifacts.ArtifactId("shop", "1")
    record = artifacts.decode(blobs.get(keys.record(artifact)), artifact)
    blobs.delete(keys.record(artifact))
    blobs.create(keys.record(artifact), artifacts.encode(msgspec.structs.replace(record, **values)))


def test_it_is_recorded_from_push_to_stage(blobs: MemoryBlobs, one: Path, two: Path) -> None:
    store = Store(blobs)
    for path, version in ((one, "1"), (two, "2")):
        assert store.artifacts.publish(path, by=ANN).root == root_of(path)
        assert store.stages.promote("shop", version, "production", by=ANN).state.root == root_of(path)
    store.stages.freeze("shop", "production", by=ANN, why="x")
    store.stages.unfreeze("shop", "production", by=ANN, why="x")
    assert [entry.state.root for entry in store.stages.history("shop", "production")] == [
        root_of(one),
        *[root_of(two)] * 3,
    ]
    assert store.stages.rollback("shop", "production", by=ANN, why="x").state.root == root_of(one)
    found = store.stages.head_with_link("shop", "production")
    assert found
    assert found[0].root == root_of(one)


def test_the_old_format_has_none(blobs: MemoryBlobs, one: Path) -> None:
    store = Store(blobs)
    assert store.artifacts.publish(to_old_format(one), by=ANN).root == ""
    assert store.stages.promote("shop", "1", "production", by=ANN).state.root == ""


def test_a_signature_states_it(blobs: MemoryBlobs, signers: Signers, one: Path) -> None:
    store = signing(blobs, signers, required=True)
    store.artifacts.publish(one, by=ANN)
    store.artifacts.sign("shop", "1", by=ANN)
    (key,) = blobs.keys("shop/artifacts/1/signatures/")
    assert envelope.read(blobs.get(key), Signature, key)[0].root == root_of(one)
    assert store.stages.promote("shop", "1", "production", by=ANN).state.root == root_of(one)


def test_a_forged_record_reaches_no_stage_that_demands_signatures(
    blobs: MemoryBlobs, signers: Signers, one: Path
) -> None:
    store = signing(blobs, signers, required=True)
    store.artifacts.publish(one, by=ANN)
    store.artifacts.sign("shop", "1", by=ANN)
    forge(blobs, root=FORGED)
    assert store.stages.promote("shop", "1", "production", by=ANN).state.root == root_of(one)
    assert store.artifacts.root(store.artifacts.get("shop", "1")) == root_of(one)


def test_a_reader_that_demands_signatures_believes_no_other_root(
    blobs: MemoryBlobs, signers: Signers, one: Path
) -> None:
    """Whoever promoted had a key and no rules, so the signed entry repeats the forged record."""
    free = signing(blobs, signers, required=False)
    free.artifacts.publish(one, by=ANN)
    free.artifacts.sign("shop", "1", by=ANN)
    forge(blobs, root=FORGED)
    assert free.stages.promote("shop", "1", "production", by=ANN).state.root == FORGED
    found = signing(blobs, signers, required=True).stages.head_with_link("shop", "production")
    assert found
    assert (found[0].version, found[0].root) == ("1", "")


def test_a_record_with_another_root_is_not_signed(blobs: MemoryBlobs, signers: Signers, one: Path) -> None:
    store = signing(blobs, signers, required=True)
    store.artifacts.publish(one, by=ANN)
    forge(blobs, root=FORGED)
    with pytest.raises(VerificationError, match=f"its bytes have the root {root_of(one)}, not {FORGED}"):
        store.artifacts.sign("shop", "1", by=ANN)


@pytest.mark.parametrize("root", ["x", "f" * 63, "F" * 64])
def test_a_record_with_a_root_that_is_none_is_refused(blobs: MemoryBlobs, one: Path, root: str) -> None:
    store = Store(blobs)
    store.artifacts.publish(one, by=ANN)
    forge(blobs, root=root)
    with pytest.raises(VerificationError, match="is not a sha256"):
        store.artifacts.get("shop", "1")

"""Entries of another store with the same names count for nothing, signed or not."""

import hashlib
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from artifact_store.core.actor import Actor
from artifact_store.core.errors import VerificationError
from artifact_store.stages import log_rules
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store, open_store
from artifact_store.trust.rules import NO_RULES, Trust
from artifact_store.views import audit
from tests.parts.tgz import tgz

ANN = Actor("ann")


def signed_rules(tmp_path: Path) -> Trust:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"ann@example.com {(tmp_path / 'key.pub').read_text()}")
    return Trust(policy=Policy(require_signatures=True), signers=signers, key=key)


@pytest.mark.parametrize("with_signatures", [True, False])
def test_entries_that_were_written_for_another_store_count_for_nothing(
    tmp_path: Path, with_signatures: bool
) -> None:
    trust = signed_rules(tmp_path) if with_signatures else NO_RULES

    def store(name: str) -> Store:
        return Store(open_store(f"file://{tmp_path}/{name}").blobs, trust=trust)

    for name, promotions in (("rehearsal", "212121"), ("real", "1212")):
        one = store(name)
        for version in "12":
            one.artifacts.publish(tgz(tmp_path, version=version), by=ANN)
            if with_signatures:
                one.artifacts.sign("shop", version, by=ANN)
        for version in promotions:
            one.stages.promote("shop", version, "production", by=ANN)
    real, rehearsal = (tmp_path / name / "shop" / "stages" / "production" for name in ("real", "rehearsal"))
    for number in (5, 6):
        shutil.copy(rehearsal / f"0000000{number}.json", real / f"0000000{number}.json")

    with pytest.raises(VerificationError, match=r"entry 6 of shop production .* copied from another store"):
        store("real").stages.head("shop", "production")
    with pytest.raises(VerificationError, match="copied from another store"):
        store("real").stages.head_with_link("shop", "production")
    change = store("real").stages.rollback("shop", "production", by=ANN, to="1")
    assert change.state.number == 7
    head = store("real").stages.head("shop", "production")
    assert head is not None
    first = next(store("real").stages.log("shop", "production").oldest_first())
    assert (head.version, head.origin) == ("1", first.state.origin)
    assert store("real").stages.rollback("shop", "production", by=ANN).state.version == "2"


def test_approvals_that_an_entry_claims_are_held_against_the_signed_ones(tmp_path: Path) -> None:
    trust = signed_rules(tmp_path)
    store = Store(open_store(f"file://{tmp_path}/store").blobs, trust=trust)
    for version in "12":
        store.artifacts.publish(tgz(tmp_path, version=version), by=ANN)
        store.artifacts.sign("shop", version, by=ANN)
    store.stages.promote("shop", "1", "production", by=ANN)
    last = store.stages.promote("shop", "2", "production", by=ANN).state
    log = tmp_path / "store" / "shop" / "stages" / "production" / "00000003.json"
    before = log.with_name("00000002.json").read_bytes()
    claimed = msgspec.structs.replace(
        last,
        number=3,
        action="rollback",
        version="1",
        digest=store.artifacts.get("shop", "1").digest,
        approved_by=("bob@example.com",),
        previous=hashlib.sha256(before).hexdigest(),
        operation="f" * 32,
        at=last.at + timedelta(days=400),
    )
    log.write_bytes(log_rules.encode(claimed, store.notary.sign_entry(claimed)))
    check = audit.stage(store, trust, "shop", "production")
    assert (
        "entry 3 names an approval of 1 by bob@example.com, and there is none with a valid signature"
        in check.problems
    )
    assert any(problem.endswith("in the future") for problem in check.problems)

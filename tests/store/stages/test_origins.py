"""A log is held to its chain by each read that acts, and may begin anew in a copied store."""

import hashlib
import shutil
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import msgspec
import pytest

from artifact_store.blobs.memory import MemoryBlobs
from artifact_store.core.actor import Actor
from artifact_store.core.errors import VerificationError
from artifact_store.stages import log_rules
from artifact_store.stages.log_rules import StageState
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store, open_store
from artifact_store.trust.rules import NO_RULES, Trust
from artifact_store.views import audit, wording
from tests.parts.fapstore_command import Cli
from tests.parts.signers import Signers
from tests.parts.tgz import tgz

ANN = Actor("ann")


def signed_rules(folder: Path) -> Trust:
    signers = Signers(folder)
    return Trust(policy=Policy(require_signatures=True), signers=signers.path, key=signers.allow("ann"))


def filled(folder: Path, trust: Trust, promotions: str) -> Store:
    """A store in a folder, with versions 1 and 2 and these promotions."""
    store = Store(open_store(f"file://{folder}").blobs, trust=trust)
    for version in "12":
        store.artifacts.publish(tgz(folder.parent, version=version), by=ANN)
        if trust.key:
            store.artifacts.sign("shop", version, by=ANN)
    for version in promotions:
        store.stages.promote("shop", version, "production", by=ANN)
    return store


def log(folder: Path) -> Path:
    return folder / "shop" / "stages" / "production"


def again(folder: Path, trust: Trust) -> Store:
    return Store(open_store(f"file://{folder}").blobs, trust=trust)


def rewrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)


def write(folder: Path, trust: Trust, state: StageState) -> None:
    """Write an entry as someone who has the key can."""
    store = again(folder, trust)
    (log(folder) / f"{state.number:08d}.json").write_bytes(
        log_rules.encode(state, store.notary.sign_entry(state))
    )


@pytest.mark.parametrize("with_signatures", [True, False])
def test_an_entry_whose_predecessor_was_changed_is_refused(tmp_path: Path, with_signatures: bool) -> None:
    trust = signed_rules(tmp_path) if with_signatures else NO_RULES
    folder = tmp_path / "store"
    filled(folder, trust, "121")
    second = log(folder) / "00000002.json"
    rewrite(second, second.read_bytes() + b"\n")
    with pytest.raises(VerificationError, match="the entry before entry 3 of shop production"):
        again(folder, trust).stages.head("shop", "production")
    with pytest.raises(VerificationError, match="the entry before entry 3 of shop production"):
        again(folder, trust).stages.head_with_link("shop", "production")
    if not with_signatures:
        with pytest.raises(VerificationError, match="does not name the entry before it"):
            again(folder, trust).stages.promote("shop", "2", "production", by=ANN)
    change = again(folder, trust).stages.rollback("shop", "production", by=ANN, to="1")
    assert change.state.number == 4
    head = again(folder, trust).stages.head("shop", "production")
    assert head is not None
    assert (head.number, head.version) == (4, "1")


@pytest.mark.parametrize("with_signatures", [True, False])
def test_a_copied_store_gets_a_new_origin(tmp_path: Path, with_signatures: bool) -> None:
    trust = signed_rules(tmp_path) if with_signatures else NO_RULES
    real, copy = tmp_path / "real", tmp_path / "copy"
    filled(real, trust, "121")
    shutil.copytree(real, copy)
    change = again(copy, trust).stages.new_origin("shop", "production", by=ANN, why="restored from a backup")
    assert (change.state.version, change.state.number, change.state.origin) == (
        "1",
        4,
        change.state.operation,
    )
    again(copy, trust).stages.promote("shop", "2", "production", by=ANN)
    assert audit.stage(again(copy, trust), trust, "shop", "production").problems == ()
    for version in "2121":  # entries 4 to 7 of the real store
        again(real, trust).stages.promote("shop", version, "production", by=ANN)

    for number in (6, 7):
        shutil.copy(log(real) / f"0000000{number}.json", log(copy))
    with pytest.raises(VerificationError, match="copied from another store"):
        again(copy, trust).stages.head("shop", "production")
    rolled = again(copy, trust).stages.rollback("shop", "production", by=ANN, to="2")
    assert (rolled.state.number, rolled.state.origin) == (8, change.state.origin)

    (log(real) / "origins").mkdir()
    for name in ("00000004.json", "00000005.json"):
        rewrite(log(real) / name, (log(copy) / name).read_bytes())
    shutil.copy(log(copy) / "origins" / "00000001.json", log(real) / "origins")
    with pytest.raises(VerificationError):
        again(real, trust).stages.head("shop", "production")


def test_a_mark_of_a_stranger_begins_nothing(tmp_path: Path) -> None:
    trust = signed_rules(tmp_path)
    folder = tmp_path / "store"
    filled(folder, trust, "12")
    (log(folder) / "origins").mkdir()
    for number, content in ((1, b"x"), (2, b'{"entry": 2}'), (3, b'{"entry": 77}')):
        (log(folder) / "origins" / f"0000000{number}.json").write_bytes(content)
    head = again(folder, trust).stages.head("shop", "production")
    assert head is not None
    assert head.version == "2"
    again(folder, trust).stages.new_origin("shop", "production", by=ANN, why="copied")
    assert (log(folder) / "origins" / "00000004.json").exists()
    again(folder, trust).stages.promote("shop", "1", "production", by=ANN)
    again(folder, trust).stages.head("shop", "production")


def test_the_command_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    filled(folder, NO_RULES, "12")
    cli = Cli(tmp_path, f"file://{folder}")
    assert cli.out("new-origin", "shop", "production", "--why", "restored").startswith("production 2  ")
    assert "ann@desk began the log anew at 2: restored" in cli.out("history", "shop", "production")
    assert cli("new-origin", "shop", "staging", "--why", "x").returncode == 1
    cli.out("verify", "shop")


def test_an_entry_that_claims_what_the_rules_did_not_allow(tmp_path: Path) -> None:
    trust = signed_rules(tmp_path)
    rules = Policy(
        stages=("staging", "production"),
        protected=("production",),
        require_signatures=True,
        signers="signers",
    )
    strict = Trust(policy=rules, policy_digest="a" * 64, signers=trust.signers, key=trust.key)
    folder = tmp_path / "store"
    filled(folder, trust, "")
    store = again(folder, strict)
    store.stages.promote("shop", "1", "staging", by=ANN)
    first = store.stages.promote("shop", "1", "production", by=ANN).state
    other = store.artifacts.get("shop", "2")
    data = (log(folder) / "00000001.json").read_bytes()
    claimed = msgspec.structs.replace(
        first,
        number=2,
        version="2",
        digest=other.digest,
        previous=hashlib.sha256(data).hexdigest(),
        operation="f" * 32,
    )
    write(folder, strict, claimed)
    again(folder, strict).stages.rollback("shop", "production", by=ANN, to="1")
    (problem,) = audit.stage(again(folder, strict), strict, "shop", "production").problems
    assert problem == "entry 2 says that the rules allowed 2, and they do not: 2 was never on staging"


def test_an_entry_of_the_future_is_shown_as_one(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", NO_RULES, "1")
    state = store.stages.head("shop", "production")
    assert state is not None
    later = msgspec.structs.replace(state, at=state.at + timedelta(days=5000))
    assert "UTC, in the future" in wording.line(later, state.at)
    assert "UTC, in the future" in wording.state(later, state.at)


class Marked(MemoryBlobs):
    """Notes whether there was a mark when an entry was written."""

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        if key.endswith("production/00000002.json"):
            assert self.size("shop/stages/production/origins/00000001.json")
        super().create(key, body, sha256)


def test_a_new_origin_is_marked_before_its_entry_can_be_followed(tmp_path: Path) -> None:
    store = Store(Marked())
    store.artifacts.publish(tgz(tmp_path, version="1"), by=ANN)
    store.stages.promote("shop", "1", "production", by=ANN)
    assert store.stages.new_origin("shop", "production", by=ANN, why="restored").state.number == 2
    assert store.blobs.size("shop/stages/production/00000002.json")

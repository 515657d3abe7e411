"""One bad object in a stage's log stops nobody: fapstore leads out, and names its key."""

import subprocess
from pathlib import Path

import pytest

from artifact_store.cli import main
from artifact_store.core.actor import Actor
from artifact_store.core.errors import VerificationError
from artifact_store.stages.policy import Policy
from artifact_store.store.store import Store, open_store
from artifact_store.trust.rules import Trust
from tests.parts.fapstore_command import Cli
from tests.parts.tgz import tgz
from tests.parts.times import timeless

ANN = Actor("ann")
KEY = "shop/stages/production/"


@pytest.fixture
def shop(tmp_path: Path) -> Cli:
    """Versions 1 and 2 were promoted to production, and version 1 to staging."""
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    store = open_store(f"file://{tmp_path}/store")
    for version in "12":
        store.artifacts.publish(tgz(tmp_path, version=version), by=ANN)
        store.stages.promote("shop", version, "production", by=ANN)
    store.stages.promote("shop", "1", "staging", by=ANN)
    return cli


def production(cli: Cli, name: str) -> Path:
    return cli.folder / "store" / KEY / name


def valid(cli: Cli) -> bytes:
    return production(cli, "00000002.json").read_bytes()


BAD = {
    "an empty file": ("00000003.json", lambda good: b""),
    "17 MiB": ("00000003.json", lambda good: bytes(17 << 20)),
    "no UTF-8": ("00000003.json", lambda good: b"\xff\xfe{}"),
    "a copy of another entry": ("00000003.json", lambda good: good),
    "a wrong type": ("00000003.json", lambda good: good.replace(b'"number":2', b'"number":"3"')),
    "a gap before it": ("00001000.json", lambda good: b"{}"),
    "fast forward": ("99999999.json", lambda good: b"{}"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_last_entry_stops_no_rollback_and_no_freeze(shop: Cli, case: str) -> None:
    name, content = BAD[case]
    production(shop, name).write_bytes(content(valid(shop)))
    number = int(name[:8])

    shown = shop("stages", "shop")
    assert shown.returncode == 6
    assert "production       2 " in shown.stdout
    assert "staging          1 " in shown.stdout
    assert f"{KEY}{name} is passed over" in shown.stderr
    history = shop("history", "shop", "production")
    assert history.returncode == 6
    assert "   2  TIME  ann promoted 2" in timeless(history.stdout)
    assert f"{KEY}{name} is passed over" in history.stderr
    assert "shop" in shop.out("board", "shop")

    blind = shop("gc", "shop", "--grace", "0s", "--wait", "0s")
    assert blind.returncode == 6
    assert f"{KEY}{name}" in blind.stderr
    refused = shop("promote", "shop", "1", "production")
    assert refused.returncode == 6
    assert f"{KEY}{name}" in refused.stderr
    assert "--override REASON" in refused.stderr
    with pytest.raises(VerificationError):  # a release never acts below an entry that can't be read
        open_store(f"file://{shop.folder}/store").stages.head("shop", "production")

    assert shop.json("freeze", "shop", "production", "--why", "x")["state"]["number"] == number + 1
    state = shop.json("unfreeze", "shop", "production")["state"]
    assert (state["number"], state["version"]) == (number + 2, "2")
    assert shop.json("rollback", "shop", "production")["state"]["version"] == "1"
    assert shop.out("stages", "shop").startswith("production       1 ")
    assert "ann promoted 1" in shop.out("history", "shop", "production")
    head = open_store(f"file://{shop.folder}/store").stages.head("shop", "production")
    assert head
    assert (head.version, head.number) == ("1", number + 3)
    assert "versions kept: 2" in shop("gc", "shop", "--dry-run", "--grace", "0s", "--keep", "9").stderr
    audit = shop.out("verify", "shop")
    assert f"note: entry {number + 1}: what lies after entry 2 can't be read, and is passed over" in audit


def test_a_promotion_with_a_reason_leads_out(shop: Cli) -> None:
    production(shop, "00000003.json").write_bytes(b"")
    state = shop.json("promote", "shop", "2", "production", "--override", "INC-1")["state"]
    assert (state["number"], state["after"], state["version"]) == (4, 2, "2")
    shop.out("promote", "shop", "1", "production")
    assert [entry["number"] for entry in shop.json("history", "shop", "production")] == [5, 4, 2, 1]


def test_a_lost_entry_hides_no_other(shop: Cli) -> None:
    shop.out("promote", "shop", "1", "production")
    production(shop, "00000002.json").unlink()
    history = shop("history", "shop", "production")
    assert history.returncode == 6
    assert "   3  " in history.stdout
    assert "   1  " in history.stdout
    assert f"{KEY}00000002.json is passed over: it is missing, but later entries exist" in history.stderr
    assert "shop" in shop.out("board", "shop")
    shop.out("rollback", "shop", "production", "--to", "1")
    verified = shop("verify", "shop")
    assert verified.returncode == 6
    assert f"problem: {KEY}00000002.json is passed over" in verified.stdout


def test_an_entry_that_skips_readable_ones_breaks_the_chain(shop: Cli) -> None:
    """`after` is for what can't be read: a writer can't leave out the entry of another with it."""
    forged = valid(shop).replace(b'"number":2', b'"number":3').replace(b'"after":0', b'"after":1')
    assert b'"after":1' in forged
    production(shop, "00000003.json").write_bytes(forged)
    assert "the entry before entry 3 was changed" in shop("history", "shop", "production").stderr


@pytest.mark.parametrize("case", BAD)
def test_where_signatures_are_required_it_counts_as_nothing(tmp_path: Path, case: str) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    signers = tmp_path / "signers"
    signers.write_text(f"ann@example.com {(tmp_path / 'key.pub').read_text()}")
    trust = Trust(policy=Policy(require_signatures=True), signers=signers, key=key)
    url = f"file://{tmp_path}/store"
    store = Store(open_store(url).blobs, trust=trust)
    for version in "12":
        store.artifacts.publish(tgz(tmp_path, version=version), by=ANN)
        store.artifacts.sign("shop", version, by=ANN)
        store.stages.promote("shop", version, "production", by=ANN)
    name, content = BAD[case]
    folder = tmp_path / "store" / KEY
    (folder / name).write_bytes(content((folder / "00000002.json").read_bytes()))
    again = Store(open_store(url).blobs, trust=trust)
    state = again.stages.promote("shop", "1", "production", by=ANN).state
    assert (state.number, state.after, state.version) == (int(name[:8]) + 1, 2, "1")
    head = Store(open_store(url).blobs, trust=trust).stages.head("shop", "production")
    assert head == state


def test_strangers_objects_below_the_artifacts_are_named_and_passed_over(shop: Cli) -> None:
    artifacts = shop.folder / "store" / "shop" / "artifacts"
    for name in ("8", "weird version"):
        (artifacts / name).mkdir()
        (artifacts / name / "artifact.json").write_bytes(b"x")
    shown = shop("list", "shop")
    assert (shown.returncode, [line.split()[0] for line in shown.stdout.splitlines()]) == (0, ["1", "2"])
    assert "passed over: the record of shop 8 can't be read" in shown.stderr
    assert "passed over: 'weird version' is not a valid version" in shown.stderr
    assert "shop" in shop.out("board", "shop")
    assert "versions kept: 2" in shop("gc", "shop", "--grace", "0s", "--wait", "0s", "--keep", "9").stderr
    assert (artifacts / "weird version" / "artifact.json").exists()
    assert (artifacts / "8" / "artifact.json").exists()


def test_a_key_with_too_many_digits_is_no_entry(shop: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("1000000000000.json", "notes.txt", "3.json"):
        production(shop, name).write_bytes(b"x")
    with pytest.raises(SystemExit) as exited:
        main(["--store", f"file://{shop.folder}/store", "stages", "shop"])
    assert not exited.value.code
    assert "production       2 " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["000000099.json", "999999999.json"])
def test_a_key_that_no_next_entry_has_is_no_entry(shop: Cli, name: str) -> None:
    production(shop, name).write_bytes(b"x")
    state = shop.json("rollback", "shop", "production")["state"]
    assert (state["number"], state["version"]) == (3, "1")
    assert shop.json("freeze", "shop", "production", "--why", "x")["state"]["number"] == 4
    assert len(shop.json("history", "shop", "production")) == 4


def test_a_reader_without_a_listing_finds_what_passed_over_a_bad_entry(
    shop: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.out("promote", "shop", "1", "production")
    production(shop, "00000004.json").write_bytes(b"x")  # a number that it tries first
    shop.out("rollback", "shop", "production")
    reader = open_store(f"file://{shop.folder}/store")
    monkeypatch.setattr(reader.blobs, "can_list", False)
    head = reader.stages.head("shop", "production")
    assert head is not None
    assert (head.number, head.version) == (5, "2")


def test_a_frozen_stage_is_unfrozen_above_a_bad_entry(shop: Cli) -> None:
    shop.out("freeze", "shop", "production", "--why", "x")
    production(shop, "00000004.json").write_bytes(b"x")
    assert "unfreeze shop production" in shop("rollback", "shop", "production").stderr
    assert shop.json("unfreeze", "shop", "production", "--why", "x")["state"]["number"] == 5
    assert shop.json("rollback", "shop", "production")["state"]["version"] == "1"


@pytest.mark.parametrize(
    "content",
    [bytes(17 << 20), b'{"entry":' + b"[" * 100_000, b'{"entry":1,"\xff":"\xff"}'],
    ids=["large", "nested", "no UTF-8"],
)
def test_an_object_among_the_origins_stops_nobody(shop: Cli, content: bytes) -> None:
    (production(shop, "origins")).mkdir()
    production(shop, "origins/00000001.json").write_bytes(content)
    shop.out("rollback", "shop", "production", "--to", "1")
    assert shop.out("stages", "shop").startswith("production       1 ")


def test_a_large_object_in_place_of_an_entry_counts_as_a_changed_one(shop: Cli) -> None:
    shop.out("promote", "shop", "1", "production")
    changed = production(shop, "00000002.json")
    changed.chmod(0o644)
    changed.write_bytes(bytes(17 << 20))
    with pytest.raises(VerificationError, match="the entry before entry 3 of shop production"):
        open_store(f"file://{shop.folder}/store").stages.head("shop", "production")
    shop.out("rollback", "shop", "production", "--to", "1")


def test_an_entry_above_a_gap_says_that_readers_over_https_do_not_see_it(shop: Cli) -> None:
    production(shop, "00000003.json").write_bytes(b"x")
    assert "https" not in shop("rollback", "shop", "production").stderr  # entry 4, without a gap
    production(shop, "00000009.json").write_bytes(b"x")
    done = shop("rollback", "shop", "production", "--to", "2")
    assert done.returncode == 0
    assert (
        "warning: entry 5 of shop production is missing, so readers over https see no entry above it, also "
        "not this one (entry 10)" in done.stderr
    )
    assert "note: entry 5 is missing, so readers over https see no entry" in shop("verify", "shop").stdout


def test_gc_goes_on_without_an_entry_that_is_lost_for_good(shop: Cli) -> None:
    for version in "12121":
        shop.out("promote", "shop", version, "production")
    production(shop, "00000004.json").unlink()
    refused = shop("gc", "shop", "--dry-run")
    assert refused.returncode == 6
    assert "00000004.json is passed over: it is missing" in refused.stderr
    assert "gc shop --lost-entries" in refused.stderr
    assert "versions kept: 2" in shop("gc", "shop", "--dry-run", "--lost-entries").stderr

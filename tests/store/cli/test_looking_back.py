"""What an auditor and a person on call ask of a store, and what they do with a bad version."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from artifact_store.blobs.open import make_store
from artifact_store.core.actor import Actor
from artifact_store.core.errors import VerificationError
from artifact_store.store.store import open_store
from tests.parts.fapstore_command import Cli
from tests.parts.records import HOST_RECORD, RELEASE_RECORD
from tests.parts.signers import Signers
from tests.parts.tgz import tgz
from tests.parts.times import timeless

pytestmark = pytest.mark.slow  # runs the command many times in each test

ANN = Actor("ann@desk")


@pytest.fixture
def signers(tmp_path: Path) -> Signers:
    return Signers(tmp_path)


@pytest.fixture
def shop(tmp_path: Path, one: Path, two: Path) -> Cli:
    """Versions 1 and 2, without rules."""
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    cli.env.pop("FAP_SIGNING_KEY", None)
    for artifact in (one, two):
        open_store(cli.env["FAP_STORE"]).artifacts.publish(artifact, by=ANN)
    return cli


def test_a_version_that_was_rolled_back_needs_a_reason_to_come_again(shop: Cli) -> None:
    for words in (["promote", "shop", "1", "production"], ["promote", "shop", "2", "production"]):
        shop.out(*words)
    shop.out("rollback", "shop", "production")
    refused = shop("promote", "shop", "2", "production")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        1,
        "fapstore: shop 2 may not go to production: 2 was on production, and a rollback removed it",
    )
    assert shop("promote", "shop", "2", "production", "--dry-run").returncode == 1
    shop.out("promote", "shop", "2", "staging")  # it is bad for one stage only
    again = shop("promote", "shop", "2", "production", "--override", "the database was at fault")
    assert again.stderr == "done; overrode the rules: rolled-back\n"
    shop.out("promote", "shop", "1", "production")
    shop.out("promote", "shop", "2", "production")  # a promotion removed it this time


def test_a_rollback_may_name_a_bad_version(shop: Cli) -> None:
    shop.out("promote", "shop", "1", "production")
    shop.out("promote", "shop", "2", "production")
    shop.out("rollback", "shop", "production")
    assert shop.out("rollback", "shop", "production", "--to", "2").startswith("production 2 ")
    assert shop.json("history", "shop", "production")[0]["bad"] == [shop.json("show", "shop", "1")["digest"]]


def test_a_withdrawn_version_goes_to_no_stage(shop: Cli) -> None:
    shop.out("promote", "shop", "1", "staging")
    shop.out("promote", "shop", "2", "staging")
    shop.out("promote", "shop", "2", "production")
    assert "Missing option '--why'" in shop("withdraw", "shop", "1").stderr
    assert shop("withdraw", "shop", "7", "--why", "x").returncode == 1
    done = shop("withdraw", "shop", "1", "--why", "a key is in it")
    assert (done.stdout, done.stderr) == ("withdrawn: no stage takes shop 1 any more\n", "")
    for words in (["promote", "shop", "1", "production"], ["rollback", "shop", "staging"]):
        refused = shop(*words)
        assert refused.returncode == 1
        assert "1 was withdrawn by ann@desk: a key is in it\n" in refused.stderr
    assert "withdrawn  by ann@desk at TIME: a key is in it" in timeless(shop.out("show", "shop", "1"))
    assert shop.json("show", "shop", "1")["withdrawn"]["why"] == "a key is in it"
    assert shop.out("fetch", "shop", "1", "-o", "got.tgz") == "got.tgz\n"  # its bytes stay
    live = shop("withdraw", "shop", "2", "--why", "CVE")
    assert sorted(line.split()[0] for line in live.stderr.splitlines()) == ["production", "staging"]
    assert "its version 2 was withdrawn by ann@desk: CVE" in shop("verify", "shop").stdout
    shop.out("rollback", "shop", "staging", "--override", "worse without it")
    assert "withdrawn for" in shop("verify", "shop").stdout


def test_a_release_takes_no_withdrawn_version_unless_an_override_put_it_there(shop: Cli) -> None:
    shop.out("promote", "shop", "1", "production")
    shop.out("promote", "shop", "2", "production")
    shop.out("withdraw", "shop", "2", "--why", "CVE")
    store = open_store(shop.env["FAP_STORE"])
    with pytest.raises(VerificationError, match=r"shop 2 was withdrawn by ann@desk: CVE") as error:
        store.stages.head_with_link("shop", "production")
    assert "fapstore rollback shop production" in error.value.hint
    assert "fapstore promote shop 2 production --override REASON" in error.value.hint
    assert shop("promote", "shop", "2", "production").stderr == "nothing to do: already at that state\n"
    assert shop("promote", "shop", "1", "production", "--override", "x").returncode == 0
    assert "already" in shop("promote", "shop", "1", "production", "--override", "x").stderr
    again = shop("promote", "shop", "2", "production", "--override", "nothing else runs")
    assert again.stderr == "done; overrode the rules: withdrawn\n"
    shop.out("freeze", "shop", "production", "--why", "sale")
    found = store.stages.head_with_link("shop", "production")
    assert found
    assert found[0].version == "2"


def test_a_version_that_the_stage_has_is_promoted_again_if_it_was_withdrawn(shop: Cli) -> None:
    shop.out("promote", "shop", "2", "production")
    shop.out("withdraw", "shop", "2", "--why", "CVE")
    state = shop.json("promote", "shop", "2", "production", "--override", "nothing else runs")["state"]
    assert (state["number"], state["overrode"]) == (2, ["withdrawn"])
    assert open_store(shop.env["FAP_STORE"]).stages.head_with_link("shop", "production")


def test_a_stranger_s_object_under_the_number_of_a_withdrawal_hides_none(shop: Cli) -> None:
    folder = shop.folder / "store/shop/artifacts/1/withdrawn"
    folder.mkdir(parents=True)
    (folder / "00000001.json").write_bytes(b"x")
    shop.out("withdraw", "shop", "1", "--why", "CVE")
    assert sorted(path.name for path in folder.iterdir()) == ["00000001.json", "00000002.json"]
    assert "was withdrawn" in shop("promote", "shop", "1", "production").stderr


def test_only_signed_withdrawals_count_where_signatures_are_required(shop: Cli, signers: Signers) -> None:
    key = signers.allow("ann")
    shop.env["FAP_SIGNING_KEY"] = str(key)
    for version in "12":
        shop.out("sign", "shop", version)
    shop.env["FAP_SIGNING_KEY"] = ""
    shop.out("withdraw", "shop", "1", "--why", "I am a stranger")
    demanding = ["--signers", str(signers.path)]
    refused = shop(*demanding, "withdraw", "shop", "2", "--why", "CVE")
    assert "a signature is required, but no key is given" in refused.stderr
    shop.env["FAP_SIGNING_KEY"] = str(key)
    shop.out(*demanding, "promote", "shop", "1", "production")
    shop.out(*demanding, "withdraw", "shop", "2", "--why", "CVE")
    assert "2 was withdrawn" in shop(*demanding, "promote", "shop", "2", "production").stderr
    (signature,) = (shop.folder / "store/shop/artifacts/1/signatures").glob("*.sig")
    forged = shop.folder / "store/shop/artifacts/1/withdrawn/forged.json"
    forged.write_bytes(signature.read_bytes())  # signed, but for another purpose
    shop.out(*demanding, "promote", "shop", "1", "staging")


def test_a_dry_run_says_what_it_would_bring_and_writes_nothing(shop: Cli) -> None:
    first = shop("promote", "shop", "1", "production", "--dry-run")
    assert (first.stdout, first.stderr) == (
        "production would go from no version to 1 (entry 1)\n",
        "nothing was written\n",
    )
    assert shop("history", "shop", "production").returncode == 1
    shop.out("promote", "shop", "1", "production")
    shop.out("promote", "shop", "2", "staging")
    shown = shop.out("promote", "shop", "--from", "staging", "--to", "production", "--dry-run").splitlines()
    assert shown[0] == "production would go from 1 to 2 (entry 2)"
    assert [line.split()[0] for line in shown[1:5]] == ["commits", "size", "download", "wheels"]
    told = shop.json("promote", "shop", "2", "production", "--dry-run")
    assert (told["state"]["version"], told["diff"]["target"]["version"]) == ("2", "1")
    assert "has 1 already" in shop.out("promote", "shop", "1", "production", "--dry-run")
    assert len(shop.json("history", "shop", "production")) == 1


def test_two_versions_are_compared_and_a_version_with_a_stage(shop: Cli) -> None:
    shop.out("promote", "shop", "1", "production")
    shown = shop.out("diff", "shop", "1", "2").splitlines()
    assert [line.split()[0] for line in shown] == ["1", "2", "commits", "size", "download", "wheels"]
    told = shop.json("diff", "shop", "1", "2")
    assert (told["target"]["version"], told["source"]["version"]) == ("1", "2")
    assert "stage" not in told["source"]
    told = shop.json("diff", "shop", "2", "production")
    assert (told["source"]["version"], told["target"]["stage"]) == ("2", "production")
    assert "does not contain shop 9" in shop("diff", "shop", "1", "9").stderr


def test_history_is_cut_by_number_and_time(shop: Cli) -> None:
    stages = open_store(shop.env["FAP_STORE"]).stages
    stages.promote("shop", "1", "staging", by=ANN)
    for number in range(26):
        stages.freeze("shop", "staging", by=ANN, why=f"sale {number}")
        stages.unfreeze("shop", "staging", by=ANN, why="")
    shown = shop("history", "shop", "staging")
    assert (len(shown.stdout.splitlines()), shown.stderr) == (
        50,
        "older entries are not shown; --all shows them\n",
    )
    assert len(shop.out("history", "shop", "staging", "--all").splitlines()) == 53
    assert len(shop.json("history", "shop", "staging")) == 53
    assert [entry["number"] for entry in shop.json("history", "shop", "staging", "--last", "2")] == [53, 52]
    assert len(shop.out("history", "shop", "staging", "--since", "1h").splitlines()) == 53
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert shop("history", "shop", "staging", "--since", tomorrow).returncode == 1
    assert "is no time" in shop("history", "shop", "staging", "--since", "soon").stderr
    shop.out("promote", "shop", "1", "production")
    both = shop.out("history", "shop", "--last", "1").splitlines()
    assert sorted(line.split()[0] for line in both) == ["production", "staging"]
    log = shop.folder / "store/shop/stages/staging"
    (log / "00000052.json").unlink()
    (log / "00000052.json").write_bytes((log / "00000051.json").read_bytes())
    assert shop("history", "shop", "staging", "--last", "5").returncode == 6


def test_what_ran_at_a_time(shop: Cli) -> None:
    store = open_store(f"file://{shop.folder}/store")
    shop.out("promote", "shop", "1", "staging")
    for at, version, outcome in ((21, "1", "healthy"), (23, "2", "failed")):
        store.records.add_release(
            msgspec.structs.replace(
                RELEASE_RECORD, at=datetime(2026, 11, at, tzinfo=UTC), version=version, outcome=outcome
            )
        )
    store.records.add_host(HOST_RECORD)
    early = shop.out("history", "shop", "--at", "2026-11-22")
    assert early.splitlines() == [
        "2026-11-21 00:00 UTC  staging web: ann@desk released 1 as 261122-185409, entry 3: healthy on 1 host"
    ]
    now = datetime.now(UTC) + timedelta(minutes=1)
    told = json.loads(shop.out("history", "shop", "--at", now.isoformat(), "--json"))
    assert [entry["version"] for entry in told["stages"]] == ["1"]
    assert [run["version"] for run in told["releases"]] == ["2"]
    assert "no stage had a version" in shop("history", "shop", "--at", "2026-01-01").stderr
    assert shop("history", "shop", "--at", "1d", "--last", "1").returncode == 2
    lines = shop.out("releases", "shop", "staging").splitlines()
    assert [line.split()[0] for line in lines] == ["2026-11-23", "2026-11-21"]
    assert "failed on 1 host (web1 healthy)" in lines[0]
    assert "web1.example.com tried 1, entry 7: healthy" in shop.out("releases", "shop", "production")
    assert "has no record of a release" in shop("releases", "blog").stderr


def test_evidence_is_printed_as_it_was_pushed(shop: Cli) -> None:
    tgz(shop.folder, version="3")
    (shop.folder / "shop-3.sbom.cdx.json").write_text('{"bomFormat": "CycloneDX"}')
    shop.out("push", "shop-3.tgz")
    assert shop.out("show", "shop", "3", "--sbom") == '{"bomFormat": "CycloneDX"}'
    assert "was pushed without *.provenance.json" in shop("show", "shop", "3", "--provenance").stderr


def test_a_version_is_copied_with_what_was_signed(shop: Cli, signers: Signers) -> None:
    shop.env["FAP_SIGNING_KEY"] = str(signers.allow("ann"))
    tgz(shop.folder, version="3")
    (shop.folder / "shop-3.sbom.cdx.json").write_text("{}")
    shop.out("push", "shop-3.tgz")
    demanding = ["--signers", str(signers.path)]
    for version in "123":
        shop.out("sign", "shop", version)
    shop.out(*demanding, "promote", "shop", "3", "production", "--why", "the sale")
    other = f"file://{shop.folder}/other"
    assert "there is no store" in shop("copy", "shop", "--to", other).stderr
    make_store(other)
    done = shop(*demanding, "copy", "shop", "--to", other, "--stage", "production")
    assert done.stderr == f"copied shop 3\nproduction of {other}: 3, entry 1\n"
    there = [*demanding, "--store", other]
    assert shop.out(*there, "fetch", "shop", "3", "-o", "copied/").strip() == "copied/shop-3.tgz"
    assert (shop.folder / "copied/shop-3.tgz").read_bytes() == (shop.folder / "shop-3.tgz").read_bytes()
    assert shop.out(*there, "show", "shop", "3", "--sbom") == "{}"
    (entry,) = shop.json(*there, "history", "shop", "production")
    assert entry["why"] == f"copied from file://{shop.folder}/store, entry 1"
    assert entry["signed_by"] == ["ann@example.com"]
    assert "BAD" not in shop.out(*there, "verify", "shop", "--all")
    again = shop.json(*there[:2], "copy", "shop", "--to", other)
    assert again == [
        {"version": "1", "copied": True},
        {"version": "2", "copied": True},
        {"version": "3", "copied": False},
    ]
    assert shop("copy", "shop", "1", "--to", other, "--stage", "production").returncode == 2


def test_other_bytes_under_the_same_version_are_not_copied(shop: Cli) -> None:
    other = f"file://{shop.folder}/other"
    make_store(other)
    (shop.folder / "else").mkdir()
    shop.out("--store", other, "push", tgz(shop.folder / "else", version="1", files={"b.py": b"x"}))
    refused = shop("copy", "shop", "1", "--to", other)
    assert refused.returncode == 1
    assert "has shop 1 with other bytes" in refused.stderr

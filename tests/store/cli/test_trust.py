"""`fapstore` under rules, with real keys: sign, approve, promote, override, verify."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from artifact_store.core.actor import Actor
from artifact_store.store.store import open_store
from tests.parts.fapstore_command import Cli
from tests.parts.signers import Signers
from tests.parts.times import timeless

pytestmark = pytest.mark.slow  # runs the command many times in each test

RULES = """
stages = ["staging", "production"]
protected = ["production"]
approvals = 1
signers = "allowed_signers"
require_signatures = true
"""


@pytest.fixture
def signers(tmp_path: Path) -> Signers:
    made = Signers(tmp_path)
    made.allow("ann")
    return made


@pytest.fixture
def shop(tmp_path: Path, signers: Signers, one: Path, two: Path) -> Cli:
    """Versions 1 and 2, under rules, by someone who has no key."""
    (tmp_path / "fapstore.toml").write_text(RULES)
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    cli.env.pop("FAP_SIGNING_KEY", None)
    for artifact in (one, two):
        open_store(cli.env["FAP_STORE"]).artifacts.publish(artifact, by=Actor("ann@desk"))
    return cli


def test_from_sign_to_history(shop: Cli, signers: Signers) -> None:
    refused = shop("sign", "shop", "1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "hint: use --key ~/.ssh/id_ed25519 or FAP_SIGNING_KEY" in refused.stderr

    shop.env["FAP_SIGNING_KEY"] = str(signers.key("ann"))
    digest = shop.json("show", "shop", "1")["digest"]
    assert shop("fetch", "shop", "1", "-o", "got.tgz").returncode == 6
    assert shop("sign", "shop", "1", "--sha256", "a" * 64).returncode == 6
    assert (
        shop.out("sign", "shop", "1", "--sha256", digest) == f"signed shop 1 {digest}, as ann@example.com\n"
    )
    assert shop.out("fetch", "shop", "1", "-o", "got.tgz") == "got.tgz\n"

    shop.out("promote", "shop", "1", "staging", "--why", "try it")
    refused = shop("promote", "shop", "--from", "staging", "--to", "production")
    assert refused.returncode == 1
    assert refused.stderr == (
        "fapstore: shop 1 may not go to production: 1 has 0 of 1 approvals\n"
        "hint: fapstore approve shop 1 production --key KEY\n"
        "in an emergency: add --override 'REASON', which is recorded in the history\n"
    )
    approved = shop.out("approve", "shop", "1", "production")
    assert approved == "approved shop 1 for production, as ann@example.com\n"
    change = shop.json("promote", "shop", "--from", "staging", "--to", "production")
    assert (change["state"]["source"], change["state"]["overrode"]) == ("staging", [])

    shop.out("sign", "shop", "2")
    overridden = shop("promote", "shop", "2", "production", "--override", "the site is down")
    assert overridden.stderr == "done; overrode the rules: order, approvals\n"
    shop.out("rollback", "shop", "production", "--why", "worse")
    assert timeless(shop.out("history", "shop", "production")) == (
        "   3  TIME  ann@desk rolled back to 1, signed by ann@example.com: worse\n"
        "   2  TIME  ann@desk promoted 2, signed by ann@example.com"
        "; overrode the rules (order, approvals): the site is down\n"
        "   1  TIME  ann@desk promoted 1 from staging, approved by ann@example.com"
        ", signed by ann@example.com\n"
    )
    assert [entry["signed_by"] for entry in shop.json("stages", "shop")] == [["ann@example.com"]] * 2
    verified = shop.out("verify", "shop", "--all").splitlines()
    assert [line[:4] for line in verified if line[:1] != " "] == ["ok  "] * 6
    assert "      note: entry 2: ann@desk overrode order, approvals for 2: the site is down" in verified


def test_an_entry_that_nobody_signed_is_shown_and_refused(shop: Cli, tmp_path: Path) -> None:
    elsewhere = Cli(tmp_path / "else", shop.env["FAP_STORE"])
    elsewhere.folder.mkdir()
    elsewhere.env.pop("FAP_SIGNING_KEY", None)
    elsewhere.out("promote", "shop", "1", "staging")
    for argv in (["stages", "shop"], ["history", "shop", "staging"]):
        shown = shop(*argv)
        assert shown.returncode == 6
        assert ", not signed" in shown.stdout
        assert "entry 1 of shop staging" in shown.stderr
        assert "hint: see its author: fapstore history shop staging" in shown.stderr
        assert elsewhere(*argv).returncode == 0
    assert shop("promote", "shop", "--from", "staging", "--to", "production").returncode == 6
    bad = shop("verify", "shop")
    assert bad.returncode == 6
    assert "BAD shop staging: 1 entry," in bad.stdout
    assert "      problem: entry 1 without a valid signature" in bad.stdout


def test_an_unsigned_entry_above_a_signed_one_is_passed_over(
    shop: Cli, signers: Signers, tmp_path: Path
) -> None:
    shop.env["FAP_SIGNING_KEY"] = str(signers.key("ann"))
    shop.out("sign", "shop", "1")
    shop.out("promote", "shop", "1", "staging")
    elsewhere = Cli(tmp_path / "else", shop.env["FAP_STORE"])
    elsewhere.folder.mkdir()
    elsewhere.env.pop("FAP_SIGNING_KEY", None)
    elsewhere.out("promote", "shop", "2", "staging")
    shown = shop("stages", "shop")
    assert shown.returncode == 6
    assert shown.stdout.startswith("staging          1 ")
    assert "shop/stages/staging/00000002.json is passed over" in shown.stderr
    assert elsewhere.out("stages", "shop").startswith("staging          2 ")
    shop.out("rollback", "shop", "staging", "--to", "1")
    assert shop.out("stages", "shop").startswith("staging          1 ")


def test_a_backdated_entry_without_a_signature_hides_nothing_of_the_history(
    shop: Cli, signers: Signers
) -> None:
    shop.env["FAP_SIGNING_KEY"] = str(signers.key("ann"))
    shop.out("sign", "shop", "1")
    shop.out("promote", "shop", "1", "staging")
    log = shop.folder / "store/shop/stages/staging"
    first = (log / "00000001.json").read_bytes()
    forged = {**json.loads(first)["statement"], "number": 2, "at": "2026-01-01T00:00:00Z"}
    forged["previous"] = hashlib.sha256(first).hexdigest()
    (log / "00000002.json").write_text(json.dumps({"statement": forged, "signatures": []}))
    shown = shop("history", "shop").stdout.splitlines()
    assert [line.split()[1] for line in shown] == ["2", "1"]  # by numbers, whatever their times are
    assert len(shop("history", "shop", "staging", "--since", "1d").stdout.splitlines()) == 2
    assert "promoted 1" in shop("history", "shop", "staging", "--since", "1d").stdout
    assert shop("history", "shop", "--at", "2026-02-01").stdout == ""


def test_signers_of_the_command_line(shop: Cli, signers: Signers, tmp_path: Path) -> None:
    elsewhere = Cli(tmp_path / "else", shop.env["FAP_STORE"])
    elsewhere.folder.mkdir()
    key = signers.key("ann")
    assert elsewhere.out("sign", "shop", "1", "--key", key).startswith("signed shop 1 ")
    assert "signatures not checked" in elsewhere.out("verify", "shop", "1")
    assert "signed by ann@example.com" in elsewhere.out("--signers", signers.path, "verify", "shop", "1")
    wrong = elsewhere("--signers", signers.path, "verify", "shop", "2")
    assert (wrong.returncode, wrong.stdout.splitlines()[-1]) == (6, "      problem: no valid signature")
    refused = elsewhere("--signers", signers.path, "fetch", "shop", "2")
    assert refused.returncode == 6
    assert f"hint: fapstore --signers {signers.path} sign shop 2 --key KEY" in refused.stderr


def test_a_key_is_no_argument_of_what_fapstore_starts(shop: Cli, signers: Signers, tmp_path: Path) -> None:
    spy = tmp_path / "bin"
    spy.mkdir()
    (spy / "ssh-keygen").write_text('#!/bin/sh\necho "$@" >> "$SPY"\nexec /usr/bin/ssh-keygen "$@"\n')
    (spy / "ssh-keygen").chmod(0o755)
    shop.env |= {"PATH": f"{spy}:{os.environ['PATH']}", "SPY": str(tmp_path / "spied")}
    shop.out("sign", "shop", "1", "--key", signers.key("ann"))
    spied = (tmp_path / "spied").read_text()
    assert f"sign -f {signers.key('ann')} -n fapkit-artifact" in spied
    assert "check-novalidate" not in spied
    assert "PRIVATE" not in spied


def test_a_reason_of_others_moves_no_cursor(tmp_path: Path, one: Path, two: Path) -> None:
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    cli.out("push", one)
    cli.out("push", two)
    cli.out("promote", "shop", "1", "production")
    cli.out("freeze", "shop", "production", "--why", "\x1b[2Jsale\nfapstore: done")
    for told in (cli("promote", "shop", "2", "production").stderr, cli.out("history", "shop", "production")):
        assert "sale" in told
        assert "\x1b" not in told
        assert "\nfapstore: done" not in told


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["promote", "shop", "1", "prodution"], 2, "hint: did you mean production?"),
        (["promote", "blog", "1", "staging"], 1, "contains no version of blog"),
        (["--config", "none.toml", "stages", "shop"], 2, "none.toml can't be read: No such file"),
        (["--signers", "nobody", "stages", "shop"], 2, "nobody does not exist"),
        (["sign", "shop", "1", "--key", "nokey"], 2, "the key nokey does not exist"),
        (["verify", "shop", "3"], 1, "does not contain shop 3"),
        (["verify", "blog"], 1, "contains no version of blog"),
        (["verify", "shop", "1", "--all"], 2, "give a version or --all, not both"),
        (["approve", "shop", "1", "nowhere"], 2, "nowhere is not one of the stages"),
    ],
)
def test_what_goes_wrong_tells_the_way_on(shop: Cli, argv: list[str], code: int, says: str) -> None:
    done = shop(*argv)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr

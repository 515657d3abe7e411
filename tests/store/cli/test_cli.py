"""`fapstore` as people and pipelines run it."""

import hashlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from artifact_store.cli import fapstore
from tests.parts.fapstore_command import FAPSTORE, Cli
from tests.parts.tgz import tgz
from tests.parts.times import timeless


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    return Cli(tmp_path, f"file://{tmp_path}/store")


@pytest.fixture
def shop(cli: Cli, one: Path, two: Path) -> Cli:
    cli.out("push", one)
    cli.out("push", two)
    return cli


def walk_from_push_to_rollback(cli: Cli, one: Path, two: Path) -> None:
    pushed = cli.json("push", one)
    assert (pushed["app"], pushed["version"], pushed["created"]) == ("shop", "1", True)
    again = cli("push", one)
    assert again.stdout == f"shop 1 {pushed['digest']}\n"
    assert "already there" in again.stderr
    cli.out("push", two)
    assert cli.out("list") == "shop\n"
    assert [record["version"] for record in cli.json("list", "shop")] == ["1", "2"]
    assert cli.json("show", "shop", "1")["digest"] == pushed["digest"]

    cli.out("promote", "shop", "1", "production")
    cli.out("promote", "shop", "2", "staging", "--why", "try it")
    change = cli.json("promote", "shop", "--from", "staging", "--to", "production")
    assert (change["changed"], change["state"]["version"]) == (True, "2")
    assert change["state"]["source"] == "staging"
    assert {s["stage"]: s["version"] for s in cli.json("stages", "shop")} == {
        "production": "2",
        "staging": "2",
    }
    assert cli.out("rollback", "shop", "production", "--why", "500s").startswith("production 1 ")
    assert timeless(cli.out("history", "shop", "production")) == (
        "   3  TIME  ann@desk rolled back to 1: 500s\n"
        "   2  TIME  ann@desk promoted 2 from staging\n"
        "   1  TIME  ann@desk promoted 1\n"
    )
    assert cli.out("fetch", "shop", "1", "-o", "got.tgz") == "got.tgz\n"
    assert (cli.folder / "got.tgz").read_bytes() == one.read_bytes()


def test_from_push_to_rollback_in_a_folder(cli: Cli, one: Path, two: Path) -> None:
    walk_from_push_to_rollback(cli, one, two)


@pytest.mark.s3
def test_from_push_to_rollback_on_s3(s3_url: str, tmp_path: Path, one: Path, two: Path) -> None:
    cli = Cli(tmp_path, s3_url)
    walk_from_push_to_rollback(cli, one, two)
    url = cli.out("url", "shop", "2", "--expires", "10m").strip()
    assert "X-Amz-Expires=600" in url
    curled = subprocess.run(["curl", "--fail", "--silent", url], capture_output=True, check=True)
    assert curled.stdout == two.read_bytes()
    told = cli("url", "shop", "2", "--expires", "3h", "--faprelease")
    assert "secret URL, valid until" in told.stderr
    assert "(3 h 00 min)" in told.stderr
    command, *arguments = shlex.split(told.stdout)
    assert (command, arguments[::2]) == ("faprelease", ["--curl-url", "--curl-sha256", "--curl-root"])
    assert "&X-Amz-Expires=10800&" in arguments[1]
    assert arguments[3] == hashlib.sha256(two.read_bytes()).hexdigest()


def test_versions_and_stages_for_people(shop: Cli, two: Path) -> None:
    shop.out("promote", "shop", "2", "staging")
    digest = shop.json("show", "shop", "2")["digest"]
    size = f"{two.stat().st_size / 1000:.1f} kB"
    assert f"2  {digest[:12]}  {size}  just now, by ann@desk" in shop.out("list", "shop")
    assert (
        timeless(shop.out("stages", "shop"))
        == f"staging          2  {digest[:12]}  entry 1, TIME (just now), by ann@desk\n"
    )
    last = shop("list", "shop", "--last", "1")
    assert (last.stdout[:3], last.stderr) == ("2  ", "older versions are not shown; --all shows them\n")
    assert len(shop.out("list", "shop", "--all").splitlines()) == 2
    assert f"digest     {digest}" in shop.out("show", "shop", "2")
    assert shop.out("url", "shop", "2").strip().startswith(f"file://{shop.folder}/store/shop/")


def test_a_freeze_tells_its_reason(shop: Cli) -> None:
    shop.out("promote", "shop", "1", "production")
    shop.out("freeze", "shop", "production", "--why", "sale")
    refused = shop("promote", "shop", "2", "production")
    assert refused.returncode == 1
    assert refused.stderr == (
        "fapstore: shop production is frozen by ann@desk: sale\n"
        "hint: fapstore unfreeze shop production --why REASON\n"
    )
    shop.out("unfreeze", "shop", "production")
    assert "done" in shop("promote", "shop", "2", "production").stderr


@pytest.mark.slow
def test_an_entry_expires_and_is_renewed(shop: Cli) -> None:
    refused = shop("renew", "shop", "production")
    assert (refused.returncode, refused.stderr.splitlines()[0]) == (
        1,
        "fapstore: shop production has no version yet",
    )
    shop.out("promote", "shop", "1", "production")
    assert shop("renew", "shop", "production").returncode == 2
    state = shop.json("promote", "shop", "1", "production", "--expires", "1s")["state"]
    assert (state["number"], state["expires"] > state["at"]) == (2, True)
    time.sleep(2.1)
    assert ", EXPIRED " in shop.out("stages", "shop")
    done = shop("verify", "shop")
    assert (done.returncode, "problem: entry 2 expired at " in done.stdout) == (6, True)
    assert "done" in shop("renew", "shop", "production", "--expires", "14d").stderr
    assert ", expires " in shop.out("stages", "shop")
    assert "   3  TIME  ann@desk renewed 1" in timeless(shop.out("history", "shop", "production"))
    assert shop("verify", "shop").returncode == 0
    assert shop.json("renew", "shop", "production", "--expires", "never")["state"]["expires"] is None
    assert shop("renew", "shop", "production", "--expires", "1w").returncode == 2


def test_a_hint_names_the_store_and_changes_no_name(cli: Cli) -> None:
    cli.out("--store", "./my store", "init")
    done = cli("--store", "./my store", "history", "fapstore", "fapstore")
    assert done.stderr.endswith("hint: fapstore --store './my store' stages fapstore\n")


def test_the_ci_run_is_recorded(cli: Cli, one: Path) -> None:
    cli.env |= {
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/shop",
        "GITHUB_RUN_ID": "77",
    }
    run = "https://github.com/acme/shop/actions/runs/77"
    assert cli.json("push", one)["ci"] == run
    assert cli.json("promote", "shop", "1", "staging")["state"]["ci"] == run


def test_who_is_user_and_host_by_default(cli: Cli, one: Path) -> None:
    del cli.env["FAP_WHO"]
    cli.env["LOGNAME"] = "bob"
    assert cli.json("push", one)["who"] == f"bob@{os.uname().nodename}"


@pytest.mark.parametrize("name", ["Production", "prodution", "PRODUCTION"])
def test_a_stage_that_is_nearly_another_is_asked_about(shop: Cli, name: str) -> None:
    shop.out("promote", "shop", "1", "production")
    shop.out("promote", "shop", "1", "staging")
    for words in (["shop", "1", name], ["shop", "--from", "staging", "--to", name]):
        done = shop("promote", *words)
        assert done.returncode == 2
        assert "did you mean production?\nhint: if it is a new stage, add --new-stage" in done.stderr
    shop.out("promote", "shop", "1", "prodution", "--new-stage")
    shop.out("promote", "shop", "2", "prodution")
    assert shop.out("history", "shop", "production").count("\n") == 1


def test_a_folder_that_is_no_store_takes_nothing(shop: Cli, tmp_path: Path) -> None:
    (tmp_path / "unmounted").mkdir()
    for where in ("./typo", "./unmounted"):
        for words in (["push", "shop-1.tgz"], ["promote", "shop", "1", "staging"], ["list"], ["doctor"]):
            done = shop("--store", where, *words)
            assert (done.returncode, done.stdout) == (1, "")
            assert "there is no store at" in done.stderr
            assert f"for a new store: fapstore --store {where} init" in done.stderr
    assert not (tmp_path / "typo").exists()
    assert list((tmp_path / "unmounted").iterdir()) == []
    shop.out("--store", "./unmounted", "init")
    shop.out("--store", "./unmounted", "push", "shop-1.tgz")
    assert shop.out("--store", "./unmounted", "list") == "shop\n"


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["show", "shop", "3"], 1, "hint: fapstore list shop"),
        (["show", "blog", "3"], 1, "hint: fapstore list"),
        (["show", "../x", "3"], 2, "is not a valid app name"),
        (["list", "blog"], 1, "contains no version of blog"),
        (["promote", "shop", "1"], 2, "hint: fapstore promote APP VERSION STAGE, or"),
        (["promote", "shop", "1", "--to", "staging"], 2, "hint: fapstore promote APP VERSION STAGE, or"),
        (["promote", "shop", "--from", "staging", "--to", "production"], 1, "staging has no version yet"),
        (["rollback", "shop", "staging"], 1, "no previous version"),
        (["url", "shop", "1", "--expires", "soon"], 2, "write 30m, 1h or 7d"),
        (["push", "page.tgz"], 6, "an HTML page"),
        (["push", "nothing.tgz"], 2, "No such file"),
        (["--store", "ftp://x", "list"], 2, "is not a valid store URL"),
        (["--store", "", "list"], 2, "no store is given"),
        (["--store", "s3:bucket", "list"], 2, "is not a valid store URL"),
        (["--store", "artifacts", "list"], 2, "file:///dir, ./dir or"),
        (["--store", "./none", "list", "shop"], 1, "for a new store: fapstore --store ./none init"),
        (["--store", "./none", "push", "shop-1.tgz"], 1, "/none: it does not exist"),
        (["--store", "./empty", "push", "shop-1.tgz"], 1, "/empty: it is empty"),
        (["--store", "file:empty", "push", "shop-1.tgz"], 2, "three slashes"),
        (["--store", "file:", "list"], 2, "three slashes"),
        (["--store", "s3://bucket", "init"], 2, "s3://bucket is not a folder"),
        (["history", "shop", "prodution"], 1, "hint: fapstore stages shop"),
        (["stages", "shpo"], 1, "hint: fapstore list"),
        (["--store", "http://127.0.0.1:1/", "show", "shop", "1"], 7, "check the network"),
        (["frobnicate"], 2, "No such command"),
    ],
)
def test_errors_go_to_stderr_with_their_code_and_a_way_on(
    shop: Cli, argv: list[str], code: int, says: str
) -> None:
    (shop.folder / "page.tgz").write_text("<!DOCTYPE html>")
    (shop.folder / "empty").mkdir()
    done = shop(*argv)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_every_command_has_help_without_heavy_imports() -> None:
    program = (
        "import sys\nfrom artifact_store.cli import fapstore\n"
        "for name in ['', *fapstore.commands]:\n"
        "    try: fapstore([*name.split(), '--help'])\n"
        "    except SystemExit as done: assert done.code == 0\n"
        "print(len(fapstore.commands))\n"
        "print(sorted({'boto3', 'httpx', 'rich', 'paramiko', 'botocore'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stdout.count("Usage:") == int(done.stdout.splitlines()[-2]) + 1 > 12


def test_the_files_of_another_umask_can_be_served(cli: Cli, tmp_path: Path) -> None:
    artifact = tgz(tmp_path, version="9")
    subprocess.run(
        ["sh", "-c", 'umask 022; exec "$0" push "$1"', FAPSTORE, artifact],
        env=cli.env,
        check=True,
        capture_output=True,
    )
    (stored,) = (tmp_path / "store").rglob("*.tgz")
    assert stored.stat().st_mode & 0o777 == 0o444


def test_help_fits_a_terminal_of_80_columns() -> None:
    for name, command in fapstore.commands.items():
        assert len(command.get_short_help_str(1000)) <= 45, name
        help_text = command.get_help(click.Context(command, info_name=f"fapstore {name}", terminal_width=80))
        assert max(map(len, help_text.splitlines())) <= 80, name
    overview = fapstore.get_help(click.Context(fapstore, info_name="fapstore", terminal_width=80))
    assert "..." not in overview.partition("Options:")[2]

"""A host that brings itself to what its stage should run, by the store alone."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from artifact_store.core.actor import Actor
from artifact_store.core.errors import StoreError
from artifact_store.records.hosts import HostRecord
from artifact_store.store.records import Records
from artifact_store.store.store import Store, open_store
from faprelease.cli import cli
from faprelease.config.layers import host_entry
from faprelease.errors import ConfigError, FapError
from faprelease.report.report import Report
from faprelease.verbs import release
from faprelease.verbs.converge import Converged, converge, name_in
from faprelease.verbs.release import Request
from tests.parts.site import INSTALL, Site
from tests.parts.tgz import tgz

BAD = "2"
HOSTS = "hosts: [web1.example.com, web2.example.com]"


@dataclass(frozen=True)
class Machine(Site):
    """This machine as `web1`, one of two hosts of a role that converges; its gate refuses version 2."""

    def describe(
        self,
        more: str = "",
        manager: str = "converge",
        gate: str = "",
        hosts: str = HOSTS,
    ) -> None:
        gate = gate or f"! grep -q \"'{BAD}'\" {self.path}/current/app.py"
        self.deploy_yml.write_text(
            f"app_name: shop\npath: {self.path}\nstore: file://{self.folder}/store\nmanager: {manager}\n"
            f"plugins: [tests.parts.plugins]\nchecking_script: {json.dumps(gate)}\n{more}\n"
            f"stage_role_configs: {{production: {{web: {{{hosts}}}}}}}\n"
        )

    @property
    def store(self) -> Store:
        return open_store(f"file://{self.folder}/store")

    def promote(self, version: str, override: str = "") -> None:
        if version not in self.store.artifacts.versions("shop"):
            files = {"app.py": f"VERSION = {version!r}\n".encode(), "install.sh": INSTALL}
            self.store.artifacts.publish(
                tgz(self.folder, version=version, files=files, wheels={}), by=Actor("ann")
            )
        self.store.stages.promote("shop", version, "production", by=Actor("ann"), override=override)

    def converge(self, *, again: bool = False, **more: Any) -> tuple[Converged, FapError | None]:
        asked = Request(file=self.deploy_yml, stage="production", role="web", flags={}, **more)
        return converge(asked, Report(), again=again)

    def outcome(self, **more: Any) -> tuple[str, int]:
        """How it ends, and the exit code that goes with it."""
        told, error = self.converge(**more)
        return told.outcome, error.exit_code if error else 0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("FAP_STORE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "logs"))
    monkeypatch.setattr(socket, "gethostname", lambda: "web1")
    made = Machine(tmp_path)
    made.describe()
    made.promote("1")
    return made


def last_record(machine: Machine) -> HostRecord:
    (found,) = machine.store.records.hosts("shop", "production")
    return found


def test_a_host_follows_its_stage_and_writes_down_what_changed(machine: Machine) -> None:
    told, error = machine.converge()
    assert error is None
    assert (told.outcome, told.changed, told.host, told.entry) == ("healthy", True, "web1.example.com", 1)
    assert (told.was, told.now, told.version) == ("", machine.current(), "1")
    record = last_record(machine)
    assert (record.outcome, record.release, record.config) == ("healthy", told.now, told.config)
    told, error = machine.converge()
    assert (told.outcome, told.changed, told.was, told.now, error) == (
        "unchanged", False, record.release, record.release, None,
    )  # fmt: skip
    machine.store.stages.freeze("shop", "production", by=Actor("ann"), why="sale")
    assert machine.outcome() == ("unchanged", 0)
    assert last_record(machine) == record, "nothing changed, so nothing is written"
    machine.store.stages.unfreeze("shop", "production", by=Actor("ann"), why="over")
    machine.promote("3")
    told, _ = machine.converge(dry_run=True)
    assert (told.outcome, machine.version()) == ("planned", "1")
    assert machine.outcome() == ("healthy", 0)
    assert (last_record(machine).previous, last_record(machine).entry) == (record.release, 4)
    assert machine.version() == "3"


@pytest.mark.slow
def test_what_went_back_is_tried_once_for_each_entry_and_configuration(machine: Machine) -> None:
    machine.converge()
    machine.promote(BAD)
    told, error = machine.converge()
    assert error is not None
    assert (told.outcome, error.exit_code, told.was, told.now) == ("undone", 4, told.now, machine.current())
    assert (last_record(machine).outcome, last_record(machine).previous) == ("undone", told.now)
    tried = machine.folders()
    told, error = machine.converge()
    assert error is not None
    assert (told.outcome, error.exit_code, told.now) == ("held back", 3, machine.current())
    assert f"fapstore --store file://{machine.folder}/store rollback shop production" in error.hint
    machine.store.stages.freeze("shop", "production", by=Actor("ann"), why="it is bad")
    assert machine.outcome() == ("held back", 3), "a freeze promotes nothing"
    (machine.path / ".fap/converge.json").unlink()
    assert machine.outcome() == ("held back", 3)
    assert machine.folders() == tried
    assert machine.outcome(again=True) == ("undone", 4)
    machine.describe("environment: {WORD: other}")
    assert machine.outcome() == ("undone", 4), "another configuration may do"
    assert machine.outcome() == ("held back", 3)
    machine.store.stages.unfreeze("shop", "production", by=Actor("ann"), why="go on")
    machine.store.stages.rollback("shop", "production", by=Actor("ann"))
    assert machine.outcome() == ("healthy", 0), "the same artifact, configured anew"
    machine.promote(BAD, override="once more")
    assert machine.outcome() == ("undone", 4), "someone promoted it once more"
    assert machine.version() == "1"


def test_a_host_set_back_to_a_snapshot_knows_from_the_store_what_it_tried(machine: Machine) -> None:
    machine.converge()
    state, snapshot = machine.path / ".fap", machine.folder / "snapshot"
    subprocess.run(["cp", "-a", state, snapshot], check=True)
    machine.promote(BAD)
    assert machine.outcome() == ("undone", 4)
    subprocess.run(["rm", "-rf", state], check=True)
    snapshot.rename(state)
    assert machine.outcome() == ("held back", 3)


def test_a_log_that_lost_entries_changes_nothing(machine: Machine) -> None:
    machine.converge()
    machine.promote("3")
    log = machine.folder / "store/shop/stages/production"
    kept = (log / "00000002.json").read_bytes()
    machine.converge()
    (log / "00000002.json").unlink()
    told, error = machine.converge()
    assert error is not None
    assert (told.outcome, error.exit_code) == ("unverified", 6)
    assert "ends with entry 1 (shop 1), and this host has seen entry 2" in error.message
    (machine.path / ".fap/converge.json").unlink()
    assert machine.outcome() == ("unverified", 6), "its record in the store says so too"
    assert machine.version() == "3"
    (log / "00000002.json").write_bytes(kept)
    assert machine.outcome() == ("unchanged", 0)


@pytest.mark.slow
def test_an_expired_entry_changes_nothing(machine: Machine) -> None:
    machine.converge()
    machine.promote("3")
    machine.store.stages.renew("shop", "production", by=Actor("ci"), lifetime=timedelta(seconds=1))
    time.sleep(2.1)
    assert machine.outcome() == ("unverified", 6)
    assert machine.version() == "1"
    machine.store.stages.renew("shop", "production", by=Actor("ci"), lifetime=timedelta(days=1))
    assert (machine.outcome(), machine.version()) == (("healthy", 0), "3")


def test_what_went_back_stays_back_when_its_entry_is_renewed(machine: Machine) -> None:
    machine.promote(BAD)
    assert machine.outcome() == ("undone", 4)
    machine.store.stages.renew("shop", "production", by=Actor("ci"), lifetime=timedelta(days=1))
    assert machine.outcome() == ("held back", 3)


def test_another_log_of_the_stage_changes_nothing(machine: Machine) -> None:
    machine.converge()
    shutil.rmtree(machine.folder / "store/shop/stages/production")
    for version in ("3", "1", "3"):
        machine.promote(version)
    told, error = machine.converge()
    assert error is not None
    assert (told.outcome, error.exit_code, machine.version()) == ("unverified", 6, "1")
    assert "is not the log that this host has seen" in error.message
    assert machine.outcome(allow_older=True) == ("healthy", 0)
    assert machine.ledger()[-1]["why"].endswith("(--allow-older)")
    assert machine.outcome() == ("unchanged", 0), "the host knows this log from now on"


def test_a_store_that_is_away_changes_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.converge()
    before = (machine.path / ".fap/converge.json").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setenv("FAP_STORE", f"http://127.0.0.1:{port}")
    assert machine.outcome() == ("unreachable", 7)
    assert machine.version() == "1"
    assert (machine.path / ".fap/converge.json").read_bytes() == before


def test_a_record_that_could_not_be_written_is_written_by_the_next_run(
    machine: Machine, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_records: Records, _record: HostRecord) -> None:  # for root, no folder is read-only
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Records, "add_host", full)
        assert machine.outcome() == ("healthy", 0)
    assert "warning: the store has no record of this yet" in capfd.readouterr().err
    assert machine.outcome() == ("unchanged", 0)
    assert last_record(machine).release == machine.current()


def test_a_role_has_one_manager(machine: Machine) -> None:
    asked = machine.request()
    with pytest.raises(ConfigError, match="converge by themselves") as error:
        release.release(asked, Report())
    store = f"fapstore --store file://{machine.folder}/store"
    assert f"{store} promote shop VERSION production" in error.value.hint
    with pytest.raises(ConfigError) as error:
        release.rollback(asked, Report())
    assert f"{store} rollback shop production" in error.value.hint
    assert not machine.path.exists()
    assert machine.outcome() == ("healthy", 0)
    machine.describe("connection: local", manager="controller")
    told, wrong = machine.converge()
    assert wrong is not None
    assert (told.outcome, wrong.exit_code) == ("refused", 2)
    here = machine.request(hosts=["web1.example.com"])
    with pytest.raises(ConfigError, match="converges by itself") as error:
        release.release(here, Report())
    assert "--take-over" in error.value.hint
    machine.promote("3")
    release.release(Request(**{**vars(here), "take_over": True}), Report())
    release.release(here, Report())
    assert machine.version() == "3"
    machine.describe()
    told, wrong = machine.converge()
    assert wrong is not None
    assert "a controller took it over" in wrong.message
    assert (told.outcome, wrong.exit_code) == ("refused", 2)
    assert machine.outcome(take_over=True) == ("unchanged", 0)


def test_no_host_runs_a_command_for_all(machine: Machine) -> None:
    machine.describe("release_command: ./migrate")
    told, error = machine.converge()
    assert error is not None
    assert "no single host can run it for all" in error.message
    assert told.outcome == "refused"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "exit_code", "then"), [(signal.SIGKILL, -9, "held back"), (signal.SIGTERM, 130, "healthy")]
)
def test_a_run_that_ended_early(machine: Machine, end: signal.Signals, exit_code: int, then: str) -> None:
    """A kill while it is published may be its own fault; that someone stopped it is not."""
    machine.converge()
    machine.promote("3")
    began, go = machine.folder / "began", machine.folder / "go"
    machine.describe(gate=f"touch {began}; while ! [ -e {go} ]; do sleep 0.1; done")
    run = subprocess.Popen(_command(machine), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    _wait_for(began.exists)
    run.send_signal(end)
    if end is not signal.SIGKILL:
        time.sleep(0.3)  # so that it is heard before the phase ends
        go.touch()
    out, _ = run.communicate(timeout=60)
    go.touch()
    assert run.returncode == exit_code, out
    if out:
        assert json.loads(out)["outcome"] == "stopped"
    _wait_for(lambda: not (machine.path / ".fap/lock").exists())  # by then the shell that was left has ended
    assert machine.outcome()[0] == then
    assert machine.version() == ("3" if then == "healthy" else "1")
    assert last_record(machine).outcome == ("healthy" if then == "healthy" else "undone")


def test_the_command_prints_one_object_and_takes_no_host(machine: Machine) -> None:
    done = subprocess.run(_command(machine), capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert {"stage", "role", "host", "outcome", "was", "is", "version", "digest", "entry"} <= told.keys()
    assert (told["outcome"], told["host"], told["is"]) == ("healthy", "web1.example.com", machine.current())
    (machine.path / ".fap/frozen").write_text('{"who":"ann","at":"now","why":"sale"}\n')
    done = subprocess.run(_command(machine), capture_output=True, text=True)
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (5, "locked")
    done = subprocess.run([*_command(machine), "--hosts", "web2"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--hosts means nothing here" in done.stderr


def test_status_by_the_records(machine: Machine, capfd: pytest.CaptureFixture[str]) -> None:
    machine.converge()
    words = ["status", "-f", str(machine.deploy_yml), "--store", "production"]
    with pytest.raises(SystemExit) as ended:
        cli([*words, "--json"], standalone_mode=False)
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert ended.value.code == 3
    assert [(row["host"], row["runs"], row["outcome"], row["lags"]) for row in rows] == [
        ("web1.example.com", machine.current(), "healthy", False),
        ("web2.example.com", "", "", True),
    ]
    machine.describe(hosts="")
    cli(words, standalone_mode=False)
    assert f"web   web1.example.com  {machine.current()}  healthy " in capfd.readouterr().out
    with pytest.raises(ConfigError, match="they converge by themselves"):
        machine.release("https://example.com/1.tgz")
    machine.describe()
    machine.promote(BAD)
    machine.converge()
    with pytest.raises(SystemExit):
        cli(words, standalone_mode=False)
    shown = capfd.readouterr()
    assert "undone" in shown.out
    assert "2 of 2 hosts do not run what was promoted" in shown.err


def test_the_name_of_this_machine() -> None:
    entries = [host_entry(word, "") for word in ("web1.example.com", "web2.example.com:2222", "db")]
    assert name_in(entries, "web1") == "web1.example.com"
    assert name_in(entries, "web2.example.com") == "web2.example.com"
    assert name_in(entries, "db") == "db"
    assert name_in(entries, "i-0abc") == "i-0abc"
    assert name_in([*entries, host_entry("web1.example.org", "")], "web1") == "web1"


def _command(machine: Machine) -> list[str]:
    words = ["converge", "-f", str(machine.deploy_yml), "--host", "web1.example.com", "production", "web"]
    code = "from faprelease.cli import command; command()"
    return [sys.executable, "-c", code, *words]


def _wait_for(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.05)

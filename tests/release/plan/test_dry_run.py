"""`--dry-run` prints the very scripts that then run."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faprelease.config import deployfile
from faprelease.config import target as config
from faprelease.config.artifact_source import ArtifactSource
from faprelease.plan import preview
from faprelease.plan.fleet import plan_release
from faprelease.plan.host import Host, RunInfo
from faprelease.plan.preview import SHOWN_MARK
from faprelease.plugins import registry
from faprelease.plugins.curl import PROGRAM
from faprelease.report.report import Report
from faprelease.run import connections, execute
from faprelease.run.connections import Connections
from faprelease.transports import local
from faprelease.transports.channel import Channel
from faprelease.transports.passwords import Passwords
from tests.parts.host_install import MODULES
from tests.parts.site import Site, artifact

MORE = """\
environment: {WORD: hunter22}
linked_dirs: [log]
plugins: [tests.parts.plugins]
published_script: echo hello
"""


class Recorder:
    """A real channel that notes what it was sent."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.sent: list[str] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data.decode())
        self._channel.send(data)

    def receive(self, seconds: float) -> bytes:
        return self._channel.receive(seconds)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure(MORE)
    return made


@pytest.mark.parametrize("fails", [False, True])
def test_the_scripts_of_a_plan_are_what_the_channel_is_sent(site: Site, tmp_path: Path, fails: bool) -> None:
    site.release(artifact(tmp_path, "1"))
    if fails:
        site.configure(MORE + "fail_at: published\n")
    file = deployfile.read(site.deploy_yml)
    options = registry.options_of(file)
    url = artifact(tmp_path, "2") + "?key=hunter23"
    (target,) = config.targets(file, "production", "web", {}, options)
    shutil.rmtree(site.path / ".fap/code")  # a plan shows the programs, also where a host keeps them
    recorder = Recorder(local.connect())
    now = datetime(2040, 1, 1, tzinfo=UTC)
    with Connections([target], "token", "ada", "mark-7", lambda *_: recorder) as opened:
        (state,) = opened.probe(lock=True).values()
        host = Host(target=target, state=state, plugins=registry.load(target.settings.plugins, file))
        plan = plan_release(
            [host],
            RunInfo(who="ada", at=now, token="token", release="400101-000000", key="5e" * 32),
            ArtifactSource(url=url, name="2"),
        )
        shown = list(preview.scripts(plan))
        before = len(recorder.sent)
        if fails:
            with pytest.raises(execute.RolledBackError):
                execute.run(plan, opened, Report(), time.monotonic, threading.Event())
        else:
            execute.run(plan, opened, Report(), time.monotonic, threading.Event())
    sent = [hidden(text) for text in recorder.sent[before:]]
    heads, scripts = shown[::2], shown[1::2]
    ran = [text for head, text in zip(heads, scripts, strict=True) if "undo" not in head]
    back = [text for head, text in zip(heads, scripts, strict=True) if "after publishing" in head]
    if fails:
        published = next(n for n, head in enumerate(heads) if head.endswith(": publishing, published"))
        assert sent == [*ran[: published + 1], *back]
    else:
        assert sent == [*ran[:-1], ran[-1] + "exit\n"]
    assert not any("hunter2" in text for text in shown)


def hidden(text: str) -> str:
    """What was sent as a plan shows it: another mark, and secrets redacted."""
    text = text.replace("mark-7", SHOWN_MARK).replace("WORD=hunter22", "WORD=***")
    return text.replace("?key=hunter23", "?…")


def test_a_host_is_sent_a_program_once(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorders: list[Recorder] = []
    connect = local.connect

    def recorded() -> Channel:
        recorders.append(Recorder(connect()))
        return recorders[-1]

    monkeypatch.setattr(local, "connect", recorded)
    for version in ("1", "2", "3"):
        if version == "3":
            for file in (site.path / ".fap/code").glob("*.txt"):
                shutil.chown(file, "daemon")
        site.release(artifact(tmp_path / version, version))
    first, second, third = ("".join(recorder.sent) for recorder in recorders)
    programs = len(PROGRAM) + len(MODULES)
    assert first.count("\n#### ") == second.count("\n#### ") + programs
    assert len(second) < len(first) / 2
    assert third.count("\n#### ") == first.count("\n#### "), "what is not its own is not used"


def test_a_dry_run_prints_the_plan_and_changes_nothing(site: Site, tmp_path: Path) -> None:
    site.release(artifact(tmp_path, "1"))
    before = snapshot(site.path)
    code = "from faprelease.cli import main; main()"
    argv = [sys.executable, "-c", code, "-f", str(site.deploy_yml), "--dry-run", "-v"]
    argv += ["--curl-url", artifact(tmp_path, "2"), "production", "web"]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "FAP_WHO": "ada"})
    assert done.returncode == 0, done.stderr
    for phases in ("starting, updating", "updated", "publishing, published", "finishing"):
        assert f"# localhost (web): {phases}\n" in done.stdout
    assert re.search(r"^release \d{6}-\d{6} ", done.stdout)
    assert "hunter22" not in done.stdout
    assert snapshot(site.path) == before


def snapshot(folder: Path) -> dict[str, float]:
    return {str(path): path.lstat().st_mtime for path in folder.rglob("*")}


def test_connect_chooses_the_transport_by_the_settings(site: Site) -> None:
    file = deployfile.read(site.deploy_yml)
    (target,) = config.targets(file, "production", "web", {}, registry.options_of(file))
    channel = connections.connect(target, Passwords())
    channel.send(b"echo here\n")
    assert channel.receive(10) == b"here\n"
    channel.close()

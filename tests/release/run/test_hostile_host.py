"""A host that was taken over fails alone: its neighbours go back, and the controller stays whole."""

import resource
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from faprelease.errors import FapError, PartlyDoneError, UnreachableError
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import connections
from faprelease.transports import local
from faprelease.transports.channel import Channel
from faprelease.verbs import release
from tests.parts.builds import Builds, serve_builds
from tests.parts.hostile_shell import WAYS, hostile_shell
from tests.parts.site import artifact

pytestmark = pytest.mark.slow  # floods of some MiB, read byte by byte


class TwoHosts:
    """`good` and `bad`, both on this machine, each with a folder of its own."""

    def __init__(self, folder: Path, builds: Builds, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.builds, self.how, self.word = folder, builds, "", ""
        hosts = ", ".join(f"{{{name}: {{path: {folder}/{name}}}}}" for name in ("good", "bad"))
        (folder / "deploy.yml").write_text(
            f"app_name: shop\ncache_path: {folder}/cache\n"
            f"stage_role_configs: {{production: {{web: {{hosts: [{hosts}]}}}}}}\n"
        )

        def connect(target: connections.Target, passwords: connections.Passwords) -> Channel:
            if target.host == "bad" and self.how:
                return hostile_shell(self.how, self.word)
            return local.connect()

        monkeypatch.setattr(connections.Connections.__init__, "__defaults__", (connect, lambda _: None))

    def release(self, version: str) -> None:
        made = Path(urlsplit(artifact(self.folder / version, version)).path)
        self.builds.bodies[f"/{version}.tgz"] = [made.read_bytes()]
        request = Request(
            file=self.folder / "deploy.yml",
            stage="production",
            role="web",
            flags={"curl_url": f"{self.builds.url}/{version}.tgz"},
            confirmed=True,
        )
        release.release(request, Report())

    def version(self, host: str) -> str:
        return (self.folder / host / "current/app.py").read_text().split("'")[1]

    def locked(self) -> bool:
        return any((self.folder / host / ".fap/lock").exists() for host in ("good", "bad"))


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoHosts]:
    with serve_builds() as builds:
        made = TwoHosts(tmp_path, builds, monkeypatch)
        made.release("1")
        yield made


@pytest.mark.parametrize("how", WAYS)
def test_a_host_that_is_hostile_from_the_start_changes_nothing(two: TwoHosts, how: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    two.how = how
    with pytest.raises(FapError) as refused:
        two.release("2")
    assert isinstance(refused.value, UnreachableError), refused.value
    assert "bad" in refused.value.message
    assert two.version("good") == "1"
    assert not (two.folder / "good/.fap/lock").exists()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000, f"{grown} KiB"


@pytest.mark.parametrize("how", ["success in advance", "a huge number", "lines without end", "no numbers"])
def test_a_host_that_turns_when_it_publishes_takes_no_other_with_it(two: TwoHosts, how: str) -> None:
    two.how, two.word = how, "publish: current"
    with pytest.raises(PartlyDoneError) as failed:
        two.release("2")
    assert "bad (web)" in failed.value.message
    assert two.version("good") == "1", failed.value.message
    assert not (two.folder / "good/.fap/lock").exists()

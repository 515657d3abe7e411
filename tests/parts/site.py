"""One app on this machine: its deploy.yml, its folders, and small artifacts to release to it."""

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from faprelease.config import deployfile
from faprelease.config import target as config
from faprelease.config.artifact_source import ArtifactSource
from faprelease.plan.fleet import plan_release
from faprelease.plan.host import Host, RunInfo
from faprelease.plugins import registry
from faprelease.report.report import Report
from faprelease.run import execute
from faprelease.run.connections import Connections
from faprelease.steps.layout import next_release_id
from faprelease.steps.model import Plan
from faprelease.verbs import release
from faprelease.verbs.release import Request
from tests.parts.tgz import tgz

INSTALL = b"#!/bin/sh\nset -eu\nmkdir venv\necho installed\n"


def artifact(
    folder: Path, version: str, files: Mapping[str, bytes] | None = None, requires_env: tuple[str, ...] = ()
) -> str:
    """The file URL of a small artifact; its install.sh makes `venv/`, unless `files` holds another one."""
    contents = {"app.py": f"VERSION = {version!r}\n".encode(), "install.sh": INSTALL, **(files or {})}
    folder.mkdir(parents=True, exist_ok=True)
    return tgz(folder, version=version, files=contents, wheels={}, requires_env=requires_env).as_uri()


def sha256_of(url: str) -> str:
    """The sha256 of the file with a file URL."""
    return sha256(Path(url.removeprefix("file://")).read_bytes()).hexdigest()


@dataclass(frozen=True)
class Site:
    """The app `shop` under `folder/www`, released to without ssh as `production web`."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "www"

    @property
    def deploy_yml(self) -> Path:
        return self.folder / "deploy.yml"

    def configure(self, more: str = "") -> None:
        """Write deploy.yml, with `more` lines at its top level."""
        self.deploy_yml.write_text(
            f"app_name: shop\nconnection: local\npath: {self.path}\ncache_path: {self.folder}/cache\n{more}\n"
            "stage_role_configs: {production: {web: {}}}\n"
        )

    def request(self, **flags: Any) -> Request:
        return Request(file=self.deploy_yml, stage="production", role="web", flags=flags, confirmed=True)

    def release(self, url: str, **flags: Any) -> str:
        """Release and return the id that is live after it."""
        release.release(self.request(curl_url=url, **flags), Report())
        return self.current()

    def rollback(self, to: str = "", *, force: bool = False, renew: bool = False, **flags: Any) -> str:
        release.rollback(self.request(**flags), Report(), to, force=force, renew=renew)
        return self.current()

    def current(self) -> str:
        """The id that `current` names, empty if it is not there; it never dangles."""
        link = self.path / "current"
        if not link.is_symlink():
            assert not link.exists()
            return ""
        assert (link / "app.py").is_file(), f"current dangles: {link.readlink()}"
        target = str(link.readlink())
        assert re.fullmatch(r"releases/(\d{6}-\d{6}|\d{14})", target), target
        return target.removeprefix("releases/")

    def version(self) -> str:
        return (self.path / "current/app.py").read_text().split("'")[1]

    def folders(self) -> list[str]:
        return sorted(path.name for path in (self.path / "releases").iterdir())

    def states(self) -> dict[str, str]:
        """What the records say: id → state."""
        records = sorted((self.path / ".fap/releases").glob("*.jsonl"))
        return {path.stem: json.loads(path.read_text().splitlines()[-1])["state"] for path in records}

    def ledger(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / ".fap/ledger.jsonl").read_text().splitlines()]

    def locked(self) -> bool:
        return (self.path / ".fap/lock").exists()

    def leftovers(self) -> set[str]:
        """What no run leaves in the state folder."""
        known = {
            "releases",
            "envs",
            "ledger.jsonl",
            "guard",
            "code",
            "compilers",
            "detached.said",
            "nothing",
            "key",
            "owner",
            "reserve",
            "room",
            "turn",
            "rollout.jsonl",
        }
        return {path.name for path in (self.path / ".fap").iterdir()} - known

    def run_changed(self, change: Callable[[Plan], Plan], url: str) -> None:
        """Release `url` by the plan that `change` makes of the real one."""
        file = deployfile.read(self.deploy_yml)
        options = registry.options_of(file)
        targets = config.targets(file, "production", "web", {}, options)
        with Connections(targets, "token-1", "tests", "mark-1") as connections:
            states = connections.probe(lock=True)
            (state,) = states.values()
            now = datetime.now(UTC)
            new = next_release_id(now, list(state.taken))
            info = RunInfo(who="tests", at=now, token="token-1", release=new, key="5e" * 32)
            plugins = registry.load(targets[0].settings.plugins, file)
            host = Host(target=targets[0], state=state, plugins=plugins)
            plan = plan_release([host], info, ArtifactSource(url=url, name=url))
            execute.run(change(plan), connections, Report(), time.monotonic, threading.Event())

"""Real git repositories to pack, and the real command that packs them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PYPROJECT = '[tool.fapbuild]\napp = "shop"\n'
_GIT = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": "2026-01-02T03:04:05+02:00",
    "GIT_COMMITTER_DATE": "2026-01-02T03:04:05+02:00",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
COMMITTED = 1767315845
"""The time of every commit that `Project.commit` makes, in seconds since 1970."""


@dataclass
class Project:
    """A repository in `folder`, and the environment in which fapbuild runs there."""

    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)

    def write(self, files: Mapping[str, str | bytes]) -> "Project":
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**os.environ, **_GIT},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str | bytes] | None = None) -> "Project":
        self.write(files or {})
        if not (self.folder / ".git").exists():
            self.git("init", "--quiet", "--initial-branch=main")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=change")
        return self

    def run(
        self, *arguments: str, wrap: Sequence[str] = (), stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """`fapbuild ARGUMENTS`, started by `wrap` if given."""
        return subprocess.run(
            [*wrap, sys.executable, "-m", "fapbuild", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.env, **env},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def pack(self, *arguments: str, wrap: Sequence[str] = (), **env: str) -> dict[str, str]:
        """The object that `fapbuild pack --json` prints; its path is absolute."""
        done = self.run("pack", "--json", *arguments, wrap=wrap, **env)
        assert done.returncode == 0, done.stderr
        facts: dict[str, str] = json.loads(done.stdout)
        return {**facts, "path": str(self.folder / facts["path"]), "talk": done.stderr}

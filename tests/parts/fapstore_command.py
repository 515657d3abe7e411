"""The command `fapstore`, run as people and pipelines run it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from artifact_store.blobs.open import make_store

FAPSTORE = Path(sys.executable).with_name("fapstore")


class Cli:
    """Runs fapstore in a folder of its own, on a store of its own."""

    def __init__(self, folder: Path, store: str) -> None:
        self.folder = folder
        self.env = {**os.environ, "FAP_STORE": store, "FAP_WHO": "ann@desk"}
        for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"):
            self.env.pop(name, None)
        if store.startswith("file:"):
            make_store(store)

    def __call__(self, *argv: object) -> "subprocess.CompletedProcess[str]":
        words = [str(FAPSTORE), *(str(word) for word in argv)]
        return subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True)

    def out(self, *argv: object) -> str:
        """stdout of a run that has to succeed."""
        done = self(*argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *argv: object) -> object:
        """The document that `--json` prints."""
        return json.loads(self.out(*argv, "--json"))

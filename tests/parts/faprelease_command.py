"""The command `faprelease`, run as people run it."""

import os
import subprocess
import sys

from tests.parts.site import Site


def run(site: Site, *words: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", "from faprelease.cli import main; main()", *words]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("FAP_")}
    return subprocess.run(
        argv, cwd=site.folder, env={**clean, **environment}, input=stdin, capture_output=True, text=True
    )

"""The lines that the example pipeline for GitHub runs to pack and push, run here as shell.

What GitHub itself does is not run: its actions, roles and approvals.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from artifact_store.blobs.open import make_store
from tests.parts.project import Project
from tests.parts.repository import ROOT


def test_the_file_that_one_job_packs_is_the_one_that_the_next_job_pushes(
    project: Project, tmp_path: Path
) -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())["jobs"]
    store, outputs = tmp_path / "store", tmp_path / "outputs"
    make_store(str(store))
    env = {**os.environ, **project.env, "GITHUB_OUTPUT": str(outputs)}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"

    def run(job: str, command: str, **variables: str) -> str:
        (line,) = (step["run"] for step in jobs[job]["steps"] if command in step.get("run", ""))
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", line],
            cwd=project.folder,
            env={**env, **variables},
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    run("build", "fapbuild pack")
    facts = {name: value for name, _, value in re.findall(r"(\w+)<<(.*)\n(.*)\n\2\n", outputs.read_text())}
    file = re.sub(
        r"\$\{\{ needs\.build\.outputs\.(\w+) \}\}", lambda name: facts[name[1]], jobs["push"]["env"]["FILE"]
    )
    assert (project.folder / file).is_file()
    run("push", "fapstore push", FILE=file, FAP_STORE=str(store))
    assert sorted(store.glob(f"{facts['app']}/artifacts/{facts['version']}/artifact.json"))

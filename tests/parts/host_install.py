"""The program that installs a release on a host, run as hosts run it, also as another user."""

import hashlib
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from artifact_store.artifact import installing
from faprelease.steps.host_files import read_host_file, read_program
from tests.parts.installer import BARE

MODULES = (
    *("install", "contain", "sandbox", "pythons", "shared", "other_role", "wheelcache"),
    *(path.stem for path in installing.modules()),
)
TEXT = "".join(f"\n#### {name}\n{read_program(name)}" for name in MODULES)


def state_of(release: Path) -> Path:
    """The folder `.fap` of the app that a release is of."""
    return release.parents[1] / ".fap"


def install(
    release: Path,
    cache: Path | None,
    command: str = "",
    *,
    user: int = 0,
    network: bool = False,
    strict: bool = False,
    python: str = "python3",
    before: str = "",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Install the release `<app>/releases/<id>`; `before` is Python that runs first in the same process."""
    state = state_of(release)
    (state / "releases").mkdir(parents=True, exist_ok=True)
    (release.parents[1] / "shared").mkdir(exist_ok=True)
    if user:
        subprocess.run(["chown", "-R", f"{user}:{user}", release.parents[1]], check=True)
    start = before + read_host_file("programs/start.py")
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    words = [release, state, release.name, command, "allow" if network else "", "yes" if strict else ""]
    words += [cache or "", release.parents[1] / "shared", ",".join(installing.known_wheels())]
    words += [release.parents[1].name.partition("-")[0]]
    return subprocess.run(
        [python, "-I", "-S", "-c", start, state / "code", digest, "install", *words],
        input=f"{TEXT}\n#### input\n",
        env={"PATH": f"{Path(sys.executable).parent}:{BARE['PATH']}", **(env or {})},
        user=user or None,
        group=user or None,
        extra_groups=[] if user else None,
        capture_output=True,
        text=True,
        check=False,
    )

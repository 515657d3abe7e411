"""A venv of the vendored wheels for asset steps, made as hosts make theirs: by the artifact's installer."""

import hashlib
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import msgspec

from artifact_store.artifact.manifest import MANIFEST_PATH, Manifest, encode
from artifact_store.core.errors import UsageError
from fapbuild import command
from fapbuild.assets import StepVenv
from fapbuild.packing import contents
from fapbuild.packing import own_files as parts
from fapbuild.project import platforms
from fapbuild.report import Report
from fapbuild.wheels.vendor import Vendored, lock_text


@dataclass(frozen=True)
class Wheels:
    """What was vendored, and what installs it."""

    vendored: tuple[Vendored, ...]
    own: tuple[Vendored, ...]


def when_vendored(
    wheels: "Future[Wheels]", manifest: Manifest, work: Path, report: Report
) -> Callable[[], StepVenv]:
    """What gives a step its venv: waits until the wheels are there, and makes it once, in `work`."""
    root = work / "release"

    def venv() -> StepVenv:
        if not platforms.builds_here(manifest.target):
            raise UsageError(
                f"an asset step has venv = true, and this machine is not {platforms.name(manifest.target)}",
                hint="pack on a machine with the Python and the processor of the target",
            )
        found = wheels.result()
        decides = lock_text(found.vendored) + lock_text(found.own) + sys.version.encode("utf-8")
        return StepVenv(hashlib.sha256(decides).hexdigest(), lambda: make(found))

    def make(found: Wheels) -> Path:
        if not root.exists():
            with report.task("making a venv for the assets", "made a venv for the assets"):
                _install(found, manifest, root)
        return root / "venv"

    return venv


def _install(wheels: Wheels, manifest: Manifest, root: Path) -> None:
    described = contents.describe(msgspec.structs.replace(manifest, post_install=()), (), wheels.vendored)
    for entry in (
        *parts.entries(wheels.own, own_installer=False),
        *contents.wheel_entries(wheels.vendored),
    ):
        target = root / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry.content, Path):
            shutil.copyfile(entry.content, target)
        elif isinstance(entry.content, bytes):
            target.write_bytes(entry.content)
    (root / MANIFEST_PATH).write_bytes(encode(described))
    (root / contents.LOCK).write_bytes(lock_text(wheels.vendored))
    command.run(["sh", "./install.sh"], cwd=root, env={"FAP_PYTHON": sys.executable})

"""A venv of the vendored wheels for asset steps, made by the artifact's installer, as on hosts."""

import hashlib
import os
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
from fapbuild.isolation.variables import of_builds
from fapbuild.packing import contents, own_files
from fapbuild.project import platforms
from fapbuild.report import Reporter
from fapbuild.wheels.vendor import VendoredWheel, requirements_lock


@dataclass(frozen=True)
class ArtifactWheels:
    """The wheels in an artifact."""

    app: tuple[VendoredWheel, ...]
    """The packages of the app."""
    installer: tuple[VendoredWheel, ...]
    """The packages of the installer."""
    least_python: str = ""
    """The oldest release of the target's Python on which the packages are complete; empty for any."""


def when_vendored(
    vendoring: "Future[ArtifactWheels]", manifest: Manifest, work: Path, reporter: Reporter
) -> Callable[[], StepVenv]:
    """Return a function that waits for the wheels and returns their venv, which is made once, in `work`."""
    root = work / "release"

    def venv() -> StepVenv:
        if not platforms.builds_here(manifest.target):
            raise UsageError(
                f"an asset step has venv = true, but this machine is not {platforms.name(manifest.target)}",
                hint="pack on a machine with the Python and the processor of the target",
            )
        wheels = vendoring.result()
        locks = requirements_lock(wheels.app) + requirements_lock(wheels.installer)
        digest = hashlib.sha256(locks + sys.version.encode("utf-8")).hexdigest()
        return StepVenv(digest, lambda: make(wheels))

    def make(wheels: ArtifactWheels) -> Path:
        if not root.exists():
            with reporter.task("making a venv for the assets", "made a venv for the assets"):
                _install(wheels, manifest, root)
        return root / "venv"

    return venv


def _install(wheels: ArtifactWheels, manifest: Manifest, root: Path) -> None:
    described = contents.describe(msgspec.structs.replace(manifest, post_install=()), (), wheels.app, "")
    for entry in (
        *own_files.entries(wheels.installer, own_installer=False),
        *contents.wheel_entries(wheels.app),
    ):
        target = root / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry.content, Path):
            shutil.copyfile(entry.content, target)
        elif isinstance(entry.content, bytes):
            target.write_bytes(entry.content)
    (root / MANIFEST_PATH).write_bytes(encode(described))
    (root / contents.REQUIREMENTS_LOCK).write_bytes(requirements_lock(wheels.app))
    command.run(
        ["sh", "./install.sh"],
        cwd=root,
        env={**of_builds(os.environ), "FAP_PYTHON": sys.executable},
        clean=True,
    )

"""Verifies a finished artifact: every byte, every file, and every wheel against requirements.lock."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from artifact_store.artifact import archive
from artifact_store.artifact.manifest import Manifest
from artifact_store.core.errors import UsageError, VerificationError
from fapbuild.archive.writer import Artifact
from fapbuild.locks import parse_lock
from fapbuild.packing.contents import REQUIREMENTS_LOCK

_HINT = "fetch it again, or pack it again with `fapbuild pack`"


def verify(path: Path) -> Artifact:
    """Check the digests, the list of files, and the wheels against requirements.lock.

    Raises VerificationError for the first problem, UsageError if the file can't be opened.
    """
    with archive.open_artifact(path) as file:
        scan = archive.scan(file, path.name, keep=REQUIREMENTS_LOCK)
    if all(file.path != REQUIREMENTS_LOCK for file in scan.manifest.files):
        raise VerificationError(f"{path.name} has no {REQUIREMENTS_LOCK}", hint=_HINT)
    if problem := next(_wheel_problems(scan.manifest, scan.kept), ""):
        raise VerificationError(f"{path.name}: {problem}", hint=_HINT)
    return Artifact(path, scan.digest, scan.root, scan.size, scan.manifest)


def _wheel_problems(manifest: Manifest, lock: bytes) -> Iterator[str]:
    """Yield a line for each difference between the manifest's wheels and requirements.lock."""
    if hashlib.sha256(lock).hexdigest() != manifest.lock_digest:
        yield f"{REQUIREMENTS_LOCK} does not match its digest in the manifest"
    try:
        pins = {pin.name: pin for pin in parse_lock(lock.decode("utf-8"), REQUIREMENTS_LOCK)}
    except (UsageError, UnicodeDecodeError) as error:
        yield f"{REQUIREMENTS_LOCK} can't be read: {error}"
        return
    for wheel in manifest.wheels:
        if _name_and_version(wheel.file) != (canonicalize_name(wheel.name), _version(wheel.version)):
            yield f"wheels/{wheel.file} is listed as {wheel.name} {wheel.version}"
        pin = pins.pop(canonicalize_name(wheel.name), None)
        if pin is None:
            yield f"wheels/{wheel.file} is not in {REQUIREMENTS_LOCK}, or is listed twice"
        elif _version(pin.version) != _version(wheel.version) or wheel.sha256 not in pin.sha256s:
            yield (
                f"wheels/{wheel.file} is not the {pin.name} {pin.version} in {REQUIREMENTS_LOCK}: "
                f"its sha256 is {wheel.sha256}"
            )
    if pins:
        yield f"{REQUIREMENTS_LOCK} lists {min(pins)}, but wheels/ has no such wheel"


def _name_and_version(file: str) -> tuple[str, Version | str]:
    try:
        name, version, _, _ = parse_wheel_filename(file)
    except InvalidWheelFilename:
        return file, ""
    return name, version


def _version(text: str) -> Version | str:
    try:
        return Version(text)
    except InvalidVersion:
        return text

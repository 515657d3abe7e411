"""Whether a finished artifact is what it says: every byte, every file, every wheel against its lock."""

import gzip
import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from artifact_store.artifact import archive
from artifact_store.artifact.manifest import Manifest
from artifact_store.core.errors import UsageError, VerificationError
from fapbuild.locks import parse_lock
from fapbuild.packing.contents import LOCK

_LOCK_LIMIT = 16 << 20
_HINT = "fetch it again, or pack it again with `fapbuild pack`"


@dataclass(frozen=True)
class Verified:
    """An artifact that is as it says; `digest` is the sha256 of its `size` bytes."""

    manifest: Manifest
    digest: str
    size: int


def verify(path: Path) -> Verified:
    """Check digests, the list of files, and the wheels against requirements.lock.

    Raises VerificationError for the first thing that is wrong, UsageError if the file can't be opened.
    """
    manifest = archive.verify(path)
    check_wheels(manifest, _lock(path), path.name)
    with archive.open_artifact(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        return Verified(manifest, digest, file.tell())


def check_wheels(manifest: Manifest, lock: bytes, name: str) -> None:
    """Raise VerificationError unless `lock` names the manifest's wheels, no more and no less."""
    if hashlib.sha256(lock).hexdigest() != manifest.lock_digest:
        raise VerificationError(f"{name}: {LOCK} is not the one that the manifest names", hint=_HINT)
    try:
        pins = parse_lock(lock.decode("utf-8"), LOCK)
    except (UsageError, UnicodeDecodeError) as error:
        raise VerificationError(f"{name}: {LOCK} can't be read: {error}", hint=_HINT) from error
    locked = {pin.name: pin for pin in pins}
    for wheel in manifest.wheels:
        if _named(wheel.file) != (canonicalize_name(wheel.name), _version(wheel.version)):
            raise VerificationError(
                f"{name}: wheels/{wheel.file} is listed as {wheel.name} {wheel.version}", hint=_HINT
            )
        pin = locked.pop(canonicalize_name(wheel.name), None)
        if pin is None:
            raise VerificationError(f"{name}: wheels/{wheel.file} is not in {LOCK}, or twice", hint=_HINT)
        if _version(pin.version) != _version(wheel.version) or wheel.sha256 not in pin.sha256s:
            raise VerificationError(
                f"{name}: wheels/{wheel.file} is not the {pin.name} {pin.version} of {LOCK}: "
                f"its sha256 is {wheel.sha256}",
                hint=_HINT,
            )
    if locked:
        raise VerificationError(f"{name}: {LOCK} names {min(locked)}, and wheels/ has none", hint=_HINT)


def _lock(path: Path) -> bytes:
    # tarfile's own gzip streaming stops after the first member, GzipFile reads them all
    with gzip.open(path) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.name == LOCK and entry.isreg() else None
            if file:
                return file.read(_LOCK_LIMIT)
    raise VerificationError(f"{path.name} has no {LOCK}", hint=_HINT)


def _named(file: str) -> tuple[str, Version | str]:
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

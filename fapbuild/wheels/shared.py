"""A store of wheels built from source, shared by all machines that build: the first one decides the bytes.

    _wheels/<sha256 of the source>/<platform>/00000001.json                   which wheel it is; written last
    _wheels/<sha256 of the source>/<platform>/00000001/<sha256 of the wheel>/<file>

Nothing is overwritten (see `artifact_store.blobs`). If the bytes of entry 1 are damaged or lost, the next
builder writes entry 2, and so on.
"""

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from artifact_store.core.errors import ConflictError, NotFoundError, UsageError, VerificationError
from artifact_store.records import keys

if TYPE_CHECKING:  # most packs use no such store
    from artifact_store.blobs.protocol import Blobs


class _SharedWheel(msgspec.Struct, frozen=True):
    file: str
    sha256: str


class WheelStore:
    """The shared wheels in `blobs`; methods raise its StoreError and UnreachableError."""

    def __init__(self, blobs: "Blobs") -> None:
        self._blobs = blobs

    @property
    def name(self) -> str:
        """The URL, for people, without secrets."""
        return self._blobs.name

    def take(self, name: str, source: str, platform: str, folder: Path) -> Path | None:
        """Download the first wheel of package `name` built from `source` into `folder`; None without one.

        `source` is the sha256 of what it is built from, `platform` the name of the platform it is for.
        """
        return self._search(name, source, platform, folder)[0]

    def offer(self, name: str, source: str, platform: str, wheel: Path, folder: Path) -> Path:
        """Share a wheel that was built here; return the one that counts, which may be another builder's."""
        while True:
            first, number = self._search(name, source, platform, folder)
            if first or not self._blobs.can_write:
                return first or wheel
            with wheel.open("rb") as file:
                entry = _SharedWheel(wheel.name, hashlib.file_digest(file, "sha256").hexdigest())
                with contextlib.suppress(ConflictError):
                    self._blobs.create(
                        keys.shared_wheel(source, platform, number, entry.sha256, entry.file), file
                    )
            try:
                self._blobs.create(
                    keys.shared_wheel_entry(source, platform, number), msgspec.json.encode(entry)
                )
            except ConflictError:
                continue
            return wheel

    def _search(self, name: str, source: str, platform: str, folder: Path) -> tuple[Path | None, int]:
        """The first entry with the right bytes, or None and the number of the entry to write."""
        from artifact_store.blobs.download import download

        number = 1
        while True:
            try:
                raw = self._blobs.get(keys.shared_wheel_entry(source, platform, number))
            except NotFoundError:
                return None, number
            with contextlib.suppress(NotFoundError, VerificationError, UsageError, msgspec.MsgspecError):
                entry = msgspec.json.decode(raw, type=_SharedWheel)
                _check_name(entry.file, name)
                path = folder / entry.file
                path.unlink(missing_ok=True)
                key = keys.shared_wheel(source, platform, number, entry.sha256, entry.file)
                download(self._blobs, key, entry.sha256, path)
                return path, number
            number += 1


def _check_name(file: str, name: str) -> None:
    try:
        package = parse_wheel_filename(file)[0]
    except InvalidWheelFilename as error:
        raise VerificationError(f"{file} is not the name of a wheel") from error
    if "/" in file or package != canonicalize_name(name):
        raise VerificationError(f"{file} is not a wheel of {name}")

"""Wheels that were built from sdists, shared by all machines that build: whoever is first decides the bytes.

    _wheels/<sha256 of the sdist>/<target>/00000001.json                      which wheel it is; written last
    _wheels/<sha256 of the sdist>/<target>/00000001/<sha256 of the wheel>/<file>

Nothing is overwritten (see `artifact_store.blobs`). Where the bytes that entry 1 names are damaged or lost,
the next builder writes entry 2, and so on.
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


class _Entry(msgspec.Struct, frozen=True):
    file: str
    sha256: str


class WheelStore:
    """The shared wheels in `blobs`; its methods raise StoreError and UnreachableError as those do."""

    def __init__(self, blobs: "Blobs") -> None:
        self._blobs = blobs

    @property
    def name(self) -> str:
        """The URL, for people; holds no secret."""
        return self._blobs.name

    def take(self, name: str, source: str, target: str, folder: Path) -> Path | None:
        """The wheel of package `name` that was built first from `source`, downloaded into `folder`; or None.

        `source` is the sha256 of the sdist, `target` one word for the hosts it was built for.
        """
        return self._search(name, source, target, folder)[0]

    def offer(self, name: str, source: str, target: str, wheel: Path, folder: Path) -> Path:
        """Share a wheel that was built here; returns the one that stands, maybe another builder's."""
        while True:
            standing, number = self._search(name, source, target, folder)
            if standing or not self._blobs.can_write:
                return standing or wheel
            with wheel.open("rb") as file:
                entry = _Entry(wheel.name, hashlib.file_digest(file, "sha256").hexdigest())
                with contextlib.suppress(ConflictError):
                    self._blobs.create(
                        keys.shared_wheel(source, target, number, entry.sha256, entry.file), file
                    )
            try:
                self._blobs.create(
                    keys.shared_wheel_entry(source, target, number), msgspec.json.encode(entry)
                )
            except ConflictError:
                continue
            return wheel

    def _search(self, name: str, source: str, target: str, folder: Path) -> tuple[Path | None, int]:
        """The first entry whose bytes are as it says, or None and the number of the entry to write."""
        from artifact_store.blobs.download import download

        number = 1
        while True:
            try:
                raw = self._blobs.get(keys.shared_wheel_entry(source, target, number))
            except NotFoundError:
                return None, number
            with contextlib.suppress(NotFoundError, VerificationError, UsageError, msgspec.MsgspecError):
                entry = msgspec.json.decode(raw, type=_Entry)
                _check_name(entry.file, name)
                path = folder / entry.file
                path.unlink(missing_ok=True)
                key = keys.shared_wheel(source, target, number, entry.sha256, entry.file)
                download(self._blobs, key, entry.sha256, path)
                return path, number
            number += 1


def _check_name(file: str, name: str) -> None:
    try:
        found = parse_wheel_filename(file)[0]
    except InvalidWheelFilename as error:
        raise VerificationError(f"{file} is no wheel's name") from error
    if "/" in file or found != canonicalize_name(name):
        raise VerificationError(f"{file} is no wheel of {name}")

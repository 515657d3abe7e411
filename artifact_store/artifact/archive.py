"""Read and check the file of an artifact: a tar in gzip members, the manifest alone in the first.

The manifest is read with tarfile, so that errors say what another file looks like; everything with `reader`.
"""

import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from artifact_store.artifact import reader
from artifact_store.artifact.manifest import MANIFEST_PATH, OLD_FORMAT, Manifest, decode
from artifact_store.core.errors import UsageError, VerificationError

_CHUNK = 1 << 20
_MANIFEST_LIMIT = 64 << 20
_KEPT_LIMIT = 16 << 20
_REPACK = "download it again, or pack it again with `fapbuild pack`"

_KINDS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML document"),
    (b"{", "a JSON document"),
    (b"PK\x03\x04", "a zip file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"BZh", "a bzip2 file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
)


def root_of(first: bytes, manifest: Manifest) -> str:
    """The root of an artifact, which names all its bytes: the sha256 of its first gzip member, in
    hexadecimal; empty for format `fap/1`, which hosts read whole."""
    return "" if manifest.format == OLD_FORMAT else hashlib.sha256(first).hexdigest()


class NoManifestError(VerificationError):
    """A tgz without a manifest: not an artifact of fapkit."""


@dataclass(frozen=True)
class Scan:
    """The result of reading the file of an artifact once."""

    manifest: Manifest
    digest: str
    """The sha256 of the whole file, in hexadecimal."""
    root: str
    """As `root_of` returns it."""
    size: int
    """In bytes."""
    kept: bytes = b""
    """The contents of the file to keep, if there is one of at most 16 MiB."""


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the artifact at `path`, and only its first gzip member.

    Raises VerificationError, which says what the file looks like, if it is not an artifact (NoManifestError
    if it is a tgz from another tool), and UsageError if it can't be opened.
    """
    with open_artifact(path) as file:
        return _manifest(file, path.name)[0]


def scan(file: BinaryIO, name: str, keep: str = "") -> Scan:
    """Read an open, seekable artifact once, and check every byte as a host does.

    Raises VerificationError unless it is exactly what its manifest says. `name` is the file's name in
    messages. `keep` is the path of a file in it whose contents are kept.
    """
    manifest, start = _manifest(file, name)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    hashing, contents = _Hashing(file), {keep: b""}
    archive = reader.Archive(hashing, size, hashlib.sha256)
    try:
        for entry in archive.entries():
            if entry.name == MANIFEST_PATH or (entry.name == keep and entry.size <= _KEPT_LIMIT):
                contents[entry.name] = b"".join(entry.contents)
    except reader.RefusedError as error:
        problem = _damage(file, start, size, manifest) or str(error)
        raise VerificationError(f"{name}: {problem}", hint=_REPACK) from error
    if archive.manifest is None or decode(contents[MANIFEST_PATH]) != manifest:
        raise VerificationError(
            f"{name}: its {MANIFEST_PATH} is too large, or not alone in the first gzip member", hint=_REPACK
        )
    file.seek(0)
    root = root_of(file.read(start), manifest)
    return Scan(manifest, hashing.sha256.hexdigest(), root, size, contents[keep])


def verify(path: Path) -> Manifest:
    """Check every byte of the artifact at `path`; return its manifest.

    Raises VerificationError for the first difference from the manifest, and UsageError if the file can't be
    opened.
    """
    with open_artifact(path) as file:
        return scan(file, path.name).manifest


class _Hashing(io.RawIOBase):
    """A file, and the sha256 of what was read of it."""

    def __init__(self, file: BinaryIO) -> None:
        self.sha256 = hashlib.sha256()
        self._file = file

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


def _damage(file: BinaryIO, start: int, size: int, manifest: Manifest) -> str:
    """The gzip member whose bytes have another sha256 than in the manifest; empty if there is none."""
    if start + sum(member.length for member in manifest.members) != size:
        return ""
    file.seek(start)
    for number, member in enumerate(manifest.members, 2):
        digest, left = hashlib.sha256(), member.length
        while left > 0 and (chunk := file.read(min(_CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        if digest.hexdigest() != member.sha256:
            return f"gzip member {number} of {len(manifest.members) + 1} is damaged"
    return ""


def open_artifact(path: Path) -> BinaryIO:
    """Open the file at `path` for reading. Raises UsageError if that fails."""
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", hint="give the path of a .tgz made by fapbuild pack"
        ) from error


def _manifest(file: BinaryIO, name: str) -> tuple[Manifest, int]:
    """The manifest, and the length of the first gzip member in bytes."""
    plain, length = _first_member(file, name)
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
            entry = tar.next()
            content = (
                tar.extractfile(entry) if entry and entry.name == MANIFEST_PATH and entry.isreg() else None
            )
            if content is None:
                raise NoManifestError(
                    f"{name} is a tgz, but its first entry is not {MANIFEST_PATH}",
                    hint="make artifacts with `fapbuild pack`",
                )
            data = content.read()
    except (tarfile.TarError, ValueError) as error:
        raise NoManifestError(
            f"{name} is a gzip file, but not a tar ({error})",
            hint="make artifacts with `fapbuild pack`",
        ) from error
    return decode(data), length


def _first_member(file: BinaryIO, name: str) -> tuple[bytes, int]:
    """The first gzip member, decompressed (at most 64 MiB), and its length in the file."""
    inflater = zlib.decompressobj(wbits=31)
    plain = bytearray()
    length = 0
    while not inflater.eof and len(plain) < _MANIFEST_LIMIT:
        chunk = inflater.unconsumed_tail
        if not chunk:
            chunk = file.read(_CHUNK)
            if length == 0 and not chunk.startswith(b"\x1f\x8b"):
                raise VerificationError(
                    f"{name} is not an artifact: it looks like {_kind(chunk)}",
                    hint="check the path or URL; artifacts are made by `fapbuild pack`",
                )
            if not chunk:
                raise VerificationError(f"{name} is cut short after {length} bytes", hint=_REPACK)
            length += len(chunk)
        try:
            plain += inflater.decompress(chunk, _MANIFEST_LIMIT - len(plain))
        except zlib.error as error:
            raise VerificationError(f"{name} is damaged: {error}", hint=_REPACK) from error
    return bytes(plain), length - len(inflater.unused_data)


def _kind(start: bytes) -> str:
    if not start:
        return "an empty file"
    lowered = start[:512].lstrip().lower()
    for magic, kind in _KINDS:
        if lowered.startswith(magic.lower()):
            return kind
    if start[257:262] == b"ustar":
        return "an uncompressed tar"
    return "text" if b"\0" not in start[:512] and start[:512].isascii() else "a binary file"

"""Read and check the file of an artifact: a tar in gzip members, the manifest alone in the first.

Format: RFC 1952 (gzip members may follow each other), POSIX ustar/pax, and `manifest` for `fap/1`.
"""

import gzip
import hashlib
import io
import posixpath
import tarfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from artifact_store.artifact.manifest import MANIFEST_PATH, File, Manifest, Wheel, decode
from artifact_store.core.errors import UsageError, VerificationError

_CHUNK = 1 << 20
_MANIFEST_LIMIT = 64 << 20
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


class NoManifestError(VerificationError):
    """A tgz without a manifest: not an artifact of fapkit."""


@dataclass(frozen=True)
class Scan:
    """The result of reading the file of an artifact once."""

    manifest: Manifest
    digest: str
    """The sha256 of the whole file, in hexadecimal."""
    size: int
    """In bytes."""


def read_manifest(path: Path) -> Manifest:
    """Read the manifest of the artifact at `path`, and only its first gzip member.

    Raises VerificationError, which says what the file looks like, if it is not an artifact (NoManifestError
    if it is a tgz from another tool), and UsageError if it can't be opened.
    """
    with open_artifact(path) as file:
        return _manifest(file, path.name)[0]


def scan(file: BinaryIO, name: str) -> Scan:
    """Read an open, seekable artifact once and check every gzip member against the manifest.

    Raises VerificationError if a byte is missing, added or changed; `name` is the file's name in messages.
    """
    manifest, start = _manifest(file, name)
    file.seek(0)
    whole = hashlib.sha256()
    for chunk in _chunks(file, start, name):
        whole.update(chunk)
    end = 0
    with ThreadPoolExecutor(1) as pool:
        for number, member in enumerate(manifest.members, 2):
            if member.offset != end or member.length <= 0:
                raise VerificationError(
                    f"{name}: the gzip members in the manifest do not follow each other", hint=_REPACK
                )
            part = hashlib.sha256()
            for chunk in _chunks(file, member.length, name):
                # compute both digests at the same time, on two cores
                whole_done = pool.submit(whole.update, chunk)
                part.update(chunk)
                whole_done.result()
            if part.hexdigest() != member.sha256:
                raise VerificationError(
                    f"{name}: gzip member {number} of {len(manifest.members) + 1} is damaged", hint=_REPACK
                )
            end += member.length
    if file.read(1):
        raise VerificationError(f"{name}: extra bytes after the last gzip member", hint=_REPACK)
    return Scan(manifest, whole.hexdigest(), start + end)


def verify(path: Path) -> Manifest:
    """Check the gzip members, files and wheels of the artifact at `path`; return its manifest.

    Raises VerificationError for the first difference from the manifest, and UsageError if the file can't be
    opened.
    """
    with open_artifact(path) as file:
        manifest = scan(file, path.name).manifest
        file.seek(0)
        try:
            # tarfile's own gzip streaming stops after the first member; GzipFile reads all
            with gzip.GzipFile(fileobj=file) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
                _check_entries(tar, manifest, path.name)
        except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError) as error:
            raise VerificationError(f"{path.name}: {error}", hint=_REPACK) from error
    return manifest


def _check_entries(tar: tarfile.TarFile, manifest: Manifest, name: str) -> None:
    files = {file.path: file for file in manifest.files}
    wheels = {f"wheels/{wheel.file}": wheel for wheel in manifest.wheels}
    missing = files.keys() | wheels.keys() | {MANIFEST_PATH}
    for entry in tar:
        if entry.name not in missing:
            raise VerificationError(
                f"{name}: {entry.name!r} is not in the manifest, or is in the tar twice", hint=_REPACK
            )
        missing.remove(entry.name)
        if _points_outside(entry):
            raise VerificationError(f"{name}: {entry.name!r} points outside the folder", hint=_REPACK)
        if entry.name in wheels:
            _check_wheel(tar, entry, wheels[entry.name], name)
        elif entry.name in files and _as_file(entry) != files[entry.name]:
            raise VerificationError(f"{name}: {entry.name!r} differs from the manifest", hint=_REPACK)
    if missing:
        raise VerificationError(f"{name}: {min(missing)!r} is missing", hint=_REPACK)


def _points_outside(entry: tarfile.TarInfo) -> bool:
    """Whether its name, or the target of a symbolic link, is outside the folder it is unpacked to."""
    path = PurePosixPath(entry.name)
    if path.is_absolute() or ".." in path.parts:
        return True
    target = posixpath.normpath(path.parent / entry.linkname) if entry.issym() else ""
    return target.startswith("/") or target.split("/")[0] == ".."


def _as_file(entry: tarfile.TarInfo) -> File | None:
    if entry.issym():
        return File(entry.name, 0o120777, entry.size)
    return File(entry.name, entry.mode, entry.size) if entry.isreg() else None


def _check_wheel(tar: tarfile.TarFile, entry: tarfile.TarInfo, wheel: Wheel, name: str) -> None:
    content = tar.extractfile(entry) if entry.isreg() else None
    if content is None or hashlib.file_digest(content, "sha256").hexdigest() != wheel.sha256:  # type: ignore[arg-type]
        raise VerificationError(
            f"{name}: the sha256 of {entry.name!r} differs from the manifest", hint=_REPACK
        )


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


def _chunks(file: BinaryIO, length: int, name: str) -> Iterator[bytes]:
    while length:
        chunk = file.read(min(_CHUNK, length))
        if not chunk:
            raise VerificationError(f"{name} is cut short: at least {length} bytes are missing", hint=_REPACK)
        length -= len(chunk)
        yield chunk

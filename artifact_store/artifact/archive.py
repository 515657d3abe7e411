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
_REPACK = "fetch it again, or pack it again with `fapbuild pack`"

_LOOKS = (
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
    """A tgz, but not one of ours: it has no manifest."""


@dataclass(frozen=True)
class Scan:
    """What one reading of an artifact's file shows."""

    manifest: Manifest
    digest: str
    """The sha256 of the whole file, in hexadecimal."""
    size: int
    """In bytes."""


def read_manifest(path: Path) -> Manifest:
    """The manifest of the artifact at `path`; reads no more than its first gzip member.

    Raises VerificationError, which says what the file looks like, if it is no artifact (NoManifestError
    if it is a tgz of another maker), and UsageError if it can't be opened.
    """
    with open_artifact(path) as file:
        return _manifest(file, path.name)[0]


def scan(file: BinaryIO, name: str) -> Scan:
    """Read the whole of an open, seekable artifact once; check every gzip member against the manifest.

    Raises VerificationError (naming the file by `name`) if a byte is missing, added or changed.
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
                    f"{name}: the manifest's list of gzip members has a gap", hint=_REPACK
                )
            part = hashlib.sha256()
            for chunk in _chunks(file, member.length, name):
                # both digests at once, on two cores
                whole_done = pool.submit(whole.update, chunk)
                part.update(chunk)
                whole_done.result()
            if part.hexdigest() != member.sha256:
                raise VerificationError(
                    f"{name}: gzip member {number} of {len(manifest.members) + 1} is damaged", hint=_REPACK
                )
            end += member.length
    if file.read(1):
        raise VerificationError(f"{name}: there are bytes after the last gzip member", hint=_REPACK)
    return Scan(manifest, whole.hexdigest(), start + end)


def verify(path: Path) -> Manifest:
    """Check the artifact at `path` whole: gzip members, list of files, wheels; return its manifest.

    Raises VerificationError for the first thing that is not as the manifest says, and UsageError if the
    file can't be opened.
    """
    with open_artifact(path) as file:
        manifest = scan(file, path.name).manifest
        file.seek(0)
        try:
            # tarfile's own gzip streaming stops after the first member, GzipFile reads them all
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
                f"{name}: {entry.name!r} is not in the manifest, or twice in the tar", hint=_REPACK
            )
        missing.remove(entry.name)
        if _leads_out(entry):
            raise VerificationError(f"{name}: {entry.name!r} leads out of the folder", hint=_REPACK)
        if entry.name in wheels:
            _check_wheel(tar, entry, wheels[entry.name], name)
        elif entry.name in files and _as_file(entry) != files[entry.name]:
            raise VerificationError(f"{name}: {entry.name!r} is not as the manifest says", hint=_REPACK)
    if missing:
        raise VerificationError(f"{name}: {min(missing)!r} is missing", hint=_REPACK)


def _leads_out(entry: tarfile.TarInfo) -> bool:
    """Whether its name, or the target of a symbolic link, is a place outside the folder it goes to."""
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
        raise VerificationError(f"{name}: {entry.name!r} has another sha256 than the manifest", hint=_REPACK)


def open_artifact(path: Path) -> BinaryIO:
    """Open the file at `path` for reading; raise UsageError if that can't be done."""
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="give the path of a .tgz of fapbuild") from error


def _manifest(file: BinaryIO, name: str) -> tuple[Manifest, int]:
    """The manifest, and how many bytes the first gzip member takes."""
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
            f"{name} is compressed by gzip, but holds no tar ({error})",
            hint="make artifacts with `fapbuild pack`",
        ) from error
    return decode(data), length


def _first_member(file: BinaryIO, name: str) -> tuple[bytes, int]:
    """The first gzip member inflated (at most 64 MiB of it), and its length in the file."""
    inflater = zlib.decompressobj(wbits=31)
    plain = bytearray()
    length = 0
    while not inflater.eof and len(plain) < _MANIFEST_LIMIT:
        chunk = inflater.unconsumed_tail
        if not chunk:
            chunk = file.read(_CHUNK)
            if length == 0 and not chunk.startswith(b"\x1f\x8b"):
                raise VerificationError(
                    f"{name} is not an artifact: it looks like {_look(chunk)}",
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


def _look(start: bytes) -> str:
    if not start:
        return "an empty file"
    lowered = start[:512].lstrip().lower()
    for magic, look in _LOOKS:
        if lowered.startswith(magic.lower()):
            return look
    if start[257:262] == b"ustar":
        return "a tar that is not compressed"
    return "text" if b"\0" not in start[:512] and start[:512].isascii() else "some other binary file"


def _chunks(file: BinaryIO, length: int, name: str) -> Iterator[bytes]:
    while length:
        chunk = file.read(min(_CHUNK, length))
        if not chunk:
            raise VerificationError(f"{name} is cut short: {length} bytes and more are missing", hint=_REPACK)
        length -= len(chunk)
        yield chunk

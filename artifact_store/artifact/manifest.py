"""The manifest of artifact format `fap/1`: what an artifact is and what it holds.

It is `.fap/manifest.json`, alone in the first gzip member. It is sent again with every release, so it
stays small: files and members are arrays, and there are no digests of single files.
"""

import msgspec

from artifact_store.core.errors import VerificationError

FORMAT = "fap/1"
MANIFEST_PATH = ".fap/manifest.json"
MTIME = 315532800
"""The mtime of every tar entry, in seconds since the epoch (1980-01-01, the oldest a zip can hold)."""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """The platform that an artifact was built for, as PEP 425 names it (`cp311`, `cp311`, `linux_x86_64`)."""

    python: str
    abi: str
    platform: str
    glibc: str
    """The oldest glibc its wheels run on (`2.17`), empty if none of them needs one."""


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """One vendored wheel: `wheels/<file>`."""

    name: str
    version: str
    file: str
    sha256: str
    size: int


class File(msgspec.Struct, frozen=True, array_like=True):
    """Any other entry: `[path, mode, size]`; mode is 0o644, 0o755, or 0o120777 for a symbolic link."""

    path: str
    mode: int
    size: int


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A gzip member after the first: `[offset, length, sha256]`, in bytes from the end of the first."""

    offset: int
    length: int
    sha256: str


class Builder(msgspec.Struct, frozen=True, kw_only=True):
    """What made the bytes: the same inputs with the same builder give the same bytes."""

    name: str
    version: str
    compressor: str
    level: int
    sbom: str = ""
    """What wrote the bill of materials."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`.fap/manifest.json`."""

    format: str
    app: str
    version: str
    commit: str
    repository: str
    dirty: bool
    epoch: int
    """The commit's time, in seconds since 1970."""
    target: Platform
    lock_digest: str
    builder: Builder
    processes: dict[str, str]
    requires_env: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    """Shared libraries (`libpq.so.5`) that wheels built from sdists need of the host, sorted."""
    post_install: tuple[str, ...] = ()
    """The app's own commands that end an install, each for `sh -e -c`."""
    wheels: tuple[Wheel, ...]
    files: tuple[File, ...]
    members: tuple[Member, ...]


def encode(manifest: Manifest) -> bytes:
    """The manifest's one encoding: compact JSON, fields in the order of the class, a newline at the end."""
    return msgspec.json.encode(manifest, order="deterministic") + b"\n"


def decode(data: bytes) -> Manifest:
    """Read a manifest; raise VerificationError if it is none of ours."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(
            f"{MANIFEST_PATH}: {error}", hint="was this file made by `fapbuild pack`?"
        ) from error
    if manifest.format != FORMAT:
        raise VerificationError(
            f"{MANIFEST_PATH}: format {manifest.format!r} is not {FORMAT!r}",
            hint="use the fapkit that packed it",
        )
    return manifest

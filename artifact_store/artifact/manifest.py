"""The manifest of artifact format `fap/2`: what an artifact is and what it contains. `fap/1` is read, too.

It is the file `.fap/manifest.json`, alone in the first gzip member. Every release downloads it again, so it
stays small: files and members are arrays, and single files have no digests.
"""

from itertools import accumulate

import msgspec

from artifact_store.core.errors import VerificationError

FORMAT = "fap/2"
"""The format that is written."""
OLD_FORMAT = "fap/1"
MANIFEST_PATH = ".fap/manifest.json"
BYTECODE = ".bytecode"
"""What follows the name of a wheel in that of its bytecode; the format is in `installing/bytecode.py`."""
MTIME = 315532800
"""The mtime of every tar entry in seconds since 1970: 1980-01-01, the earliest time a zip file allows."""


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """The platform an artifact was built for, as tags of PEP 425 (`cp311`, `cp311`, `linux_x86_64`)."""

    python: str
    abi: str
    platform: str
    glibc: str
    """The oldest glibc that its wheels run on (`2.17`); empty if no wheel needs glibc."""
    least_python: str = ""
    """The oldest release of that Python (`3.11.3`) on which its packages are complete; empty for any."""


class Wheel(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A vendored wheel, at `wheels/<file>`."""

    name: str
    version: str
    file: str
    sha256: str
    size: int
    bytecode: str = ""
    """The sha256 of its bytecode, the next entry of the tar, at `wheels/<file>.bytecode`; empty for none."""
    bytecode_size: int = 0
    """The size of that entry in bytes."""

    @property
    def entries(self) -> tuple[str, ...]:
        """The paths of its entries in the tar."""
        path = f"wheels/{self.file}"
        return (path, path + BYTECODE) if self.bytecode else (path,)


class File(msgspec.Struct, frozen=True, array_like=True):
    """Any other file: `[path, mode, size]`; the mode is 0o644, 0o755, or 0o120777 for a symbolic link."""

    path: str
    mode: int
    size: int


class Member(msgspec.Struct, frozen=True, array_like=True):
    """A gzip member after the first: `[length, sha256, entries]`. Each begins where the one before ends."""

    length: int
    """In bytes."""
    sha256: str
    entries: int = 0
    """The number of tar entries that begin in it. All are 0 in an artifact of format `fap/1`."""


class _OldMember(msgspec.Struct, frozen=True, array_like=True):
    """A gzip member in `fap/1`: `[offset, length, sha256]`; offset 0 is the end of the first one."""

    offset: int
    length: int
    sha256: str


class Builder(msgspec.Struct, frozen=True, kw_only=True):
    """The tools that made the bytes. The same input with the same builder gives the same bytes."""

    name: str
    version: str
    compressor: str
    level: int
    sbom: str = ""
    """The tool that wrote the bill of materials."""
    bytecode: str = ""
    """The release of CPython that compiled the bytecode of the wheels (`3.11.7`); empty if none did."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """`.fap/manifest.json`."""

    format: str
    app: str
    version: str
    commit: str
    repository: str
    dirty: bool
    epoch: int
    """The time of the commit, in seconds since 1970."""
    target: Platform
    lock_digest: str
    builder: Builder
    processes: dict[str, str]
    requires_env: tuple[str, ...]
    libraries: tuple[str, ...] = ()
    """Shared libraries (`libpq.so.5`) that the host must have for wheels built from sdists, sorted."""
    post_install: tuple[str, ...] = ()
    """The app's own commands that run at the end of an install, each with `sh -e -c`."""
    installer: tuple[str, ...] = ()
    """The sha256 of the wheels in `.fap/` with which fapkit's installer installs; empty if install.sh is the
    project's own, or there is nothing to install. Unknown, and empty, in `fap/1`."""
    wheels: tuple[Wheel, ...]
    files: tuple[File, ...]
    members: tuple[Member, ...]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Where each member begins, in bytes from the end of the first one; then where the last one ends."""
        return tuple(accumulate((member.length for member in self.members), initial=0))


class _Format(msgspec.Struct, frozen=True):
    format: str


class _OldManifest(Manifest, frozen=True, kw_only=True):
    members: tuple[_OldMember, ...]  # type: ignore[assignment]


def encode(manifest: Manifest) -> bytes:
    """Encode a manifest as compact JSON, in the order of its fields, with a newline at the end."""
    return msgspec.json.encode(manifest, order="deterministic") + b"\n"


def decode(data: bytes) -> Manifest:
    """Decode a manifest of either format. Raises VerificationError if the data is not one."""
    try:
        name = msgspec.json.decode(data, type=_Format).format
        if name == FORMAT:
            manifest = msgspec.json.decode(data, type=Manifest)
        elif name == OLD_FORMAT:
            manifest = _from_old(msgspec.json.decode(data, type=_OldManifest))
        else:
            raise VerificationError(
                f"{MANIFEST_PATH}: format {name!r} is neither {FORMAT!r} nor {OLD_FORMAT!r}",
                hint="use the fapkit that packed it",
            )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise VerificationError(
            f"{MANIFEST_PATH}: {error}", hint="was this file made by `fapbuild pack`?"
        ) from error
    if any(member.length <= 0 for member in manifest.members):
        raise _not_in_a_row()
    return manifest


def _from_old(old: _OldManifest) -> Manifest:
    end = 0
    for member in old.members:
        if member.offset != end:
            raise _not_in_a_row()
        end += member.length
    fields = {name: getattr(old, name) for name in old.__struct_fields__}
    fields["members"] = tuple(Member(member.length, member.sha256) for member in old.members)
    return Manifest(**fields)


def _not_in_a_row() -> VerificationError:
    return VerificationError(
        f"{MANIFEST_PATH}: the gzip members do not follow each other",
        hint="fetch it again, or pack it again with `fapbuild pack`",
    )

"""Make small artifacts, one gzip member per file."""

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from artifact_store.artifact.archive import read_manifest
from artifact_store.artifact.manifest import (
    FORMAT,
    MANIFEST_PATH,
    MTIME,
    OLD_FORMAT,
    Builder,
    File,
    Manifest,
    Member,
    Platform,
    Wheel,
    encode,
)


def entry(path: str, data: bytes, mode: int = 0o644) -> bytes:
    """A tar entry: header, data and padding."""
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.mtime = len(data), mode, MTIME
    return info.tobuf(tarfile.PAX_FORMAT) + data + b"\0" * (-len(data) % 512)


def symlink(path: str, target: str) -> bytes:
    """A tar entry of a symbolic link."""
    info = tarfile.TarInfo(path)
    info.type, info.linkname, info.mode, info.mtime = tarfile.SYMTYPE, target, 0o777, MTIME
    return info.tobuf(tarfile.PAX_FORMAT)


def manifest_of(
    files: Mapping[str, bytes], wheels: Mapping[str, bytes], *, app: str, version: str, members: list[bytes]
) -> Manifest:
    """The manifest that lists these files (path to content), wheels (file name to content) and members, one
    of each and the end mark."""
    return Manifest(
        format=FORMAT,
        app=app,
        version=version,
        commit="a" * 40,
        repository="https://example.com/shop.git",
        dirty=False,
        epoch=1_700_000_000,
        target=Platform(python="cp311", abi="cp311", platform="linux_x86_64", glibc=""),
        lock_digest="b" * 64,
        builder=Builder(name="tests", version="1", compressor="zlib", level=9),
        processes={"web": "gunicorn shop"},
        requires_env=(),
        wheels=tuple(
            Wheel(
                name=file.split("-")[0],
                version=file.split("-")[1],
                file=file,
                sha256=hashlib.sha256(data).hexdigest(),
                size=len(data),
            )
            for file, data in wheels.items()
        ),
        files=tuple(File(path, 0o644, len(data)) for path, data in files.items()),
        members=tuple(
            Member(len(member), hashlib.sha256(member).hexdigest(), int(number < len(files) + len(wheels)))
            for number, member in enumerate(members)
        ),
    )


def old_format(manifest: Manifest) -> bytes:
    """A manifest as format fap/1 has it."""
    value = json.loads(encode(manifest)) | {"format": OLD_FORMAT}
    starts = zip(manifest.offsets, manifest.members, strict=False)
    value["members"] = [[start, member.length, member.sha256] for start, member in starts]
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def to_old_format(path: Path) -> Path:
    """Write the manifest of an artifact as format fap/1 has it; return the path."""
    data, inflater = path.read_bytes(), zlib.decompressobj(31)
    inflater.decompress(data)
    path.write_bytes(squeeze(entry(MANIFEST_PATH, old_format(read_manifest(path)))) + inflater.unused_data)
    return path


def squeeze(data: bytes) -> bytes:
    """One gzip member."""
    return gzip.compress(data, mtime=0)


def tgz(
    folder: Path,
    app: str = "shop",
    version: str = "1",
    files: Mapping[str, bytes] | None = None,
    wheels: Mapping[str, bytes] | None = None,
    *,
    stored: Mapping[str, bytes] | None = None,
    extra: bytes = b"",
    commit: str = "a" * 40,
    dirty: bool = False,
    requires_env: tuple[str, ...] = (),
) -> Path:
    """Write `<folder>/<app>-<version>.tgz`; `stored` replaces contents that the manifest tells otherwise.

    `extra` are tar entries that the manifest doesn't list.
    """
    files = {"app.py": b"print('hello')\n"} if files is None else files
    wheels = {"click-8-py3-none-any.whl": b"not really a wheel"} if wheels is None else wheels
    contents = {**files, **{f"wheels/{file}": data for file, data in wheels.items()}, **(stored or {})}
    members = [squeeze(entry(path, data)) for path, data in contents.items()]
    if extra:
        members.append(squeeze(extra))
    members.append(squeeze(b"\0" * 1024))
    manifest = manifest_of(files, wheels, app=app, version=version, members=members)
    manifest = msgspec.structs.replace(manifest, commit=commit, dirty=dirty, requires_env=requires_env)
    out = io.BytesIO()
    out.write(squeeze(entry(MANIFEST_PATH, encode(manifest))))
    for member in members:
        out.write(member)
    path = folder / f"{app}-{version}.tgz"
    path.write_bytes(out.getvalue())
    return path


def root_of(data: bytes) -> str:
    """The root of an artifact: the sha256 of its first gzip member."""
    inflater = zlib.decompressobj(31)
    inflater.decompress(data)
    return hashlib.sha256(data[: len(data) - len(inflater.unused_data)]).hexdigest()

"""Reads single files of an artifact, such as the settings it was packed with, and no more of it."""

import hashlib
import io
import tarfile
import tempfile
import zlib
from pathlib import Path

from artifact_store.artifact.peek import ByteSource, Outline
from artifact_store.core.errors import UsageError, VerificationError
from fapbuild.archive.members import members_of
from fapbuild.project import config

_MEMBER_LIMIT = 16 << 20
_REPACK = "fetch it again, or pack it again with `fapbuild pack`"


def settings(source: ByteSource, outline: Outline) -> config.BuildSettings | None:
    """Read the settings an artifact was packed with, from the pyproject.toml or fapbuild.toml in it.

    None if it has neither, they can't be read without the whole artifact, or they are not valid.
    Raises VerificationError if the member is damaged.
    """
    paths = {file.path for file in outline.manifest.files}
    names = [name for name in (config.PYPROJECT, config.OWN_FILE) if name in paths]
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as folder:
        for name in names:
            text = content(source, outline, name)
            if text is None:
                return None
            (Path(folder) / name).write_bytes(text)
        try:
            return config.load(Path(folder)).settings if names else None
        except UsageError:
            return None


def content(source: ByteSource, outline: Outline, path: str) -> bytes | None:
    """Read the bytes of one small file of an artifact; only the gzip member with the file is fetched.

    None if the manifest does not show which member that is, or the source can't give a piece. Raises
    VerificationError if the member is damaged.
    """
    numbers = members_of(outline.manifest).get(path, ())
    members = [outline.manifest.members[number] for number in numbers]
    if len(members) != 1 or members[0].length > _MEMBER_LIMIT:
        return None
    offset = outline.manifest.offsets[numbers[0]]
    data = source.piece(outline.first + offset, members[0].length)
    if data is None:
        return None
    if hashlib.sha256(data).hexdigest() != members[0].sha256:
        raise VerificationError(f"{source.name}: the gzip member with {path} is damaged", hint=_REPACK)
    try:
        plain = zlib.decompressobj(wbits=31).decompress(data, _MEMBER_LIMIT)
        with tarfile.open(fileobj=io.BytesIO(plain + bytes(1024)), mode="r:") as tar:
            file = tar.extractfile(path)
            return file.read() if file else None
    except (tarfile.TarError, zlib.error, KeyError, ValueError):
        return None

"""Single files from inside an artifact, and the settings it was packed with; no more of it is read."""

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


def settings(source: ByteSource, found: Outline) -> config.Settings | None:
    """The settings it was packed with, from the pyproject.toml or fapbuild.toml inside it.

    None if it holds neither, they can't be reached without reading the whole, or they are not understood.
    """
    paths = {file.path for file in found.manifest.files}
    names = [name for name in (config.PYPROJECT, config.OWN_FILE) if name in paths]
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as folder:
        for name in names:
            text = content(source, found, name)
            if text is None:
                return None
            (Path(folder) / name).write_bytes(text)
        try:
            return config.load(Path(folder)).settings if names else None
        except UsageError:
            return None


def content(source: ByteSource, found: Outline, path: str) -> bytes | None:
    """The bytes of one small file of the artifact; fetches the gzip member that it is in, and no more.

    None if the manifest does not tell which one that is, or the source can't give a piece. Raises
    VerificationError if the member is damaged.
    """
    numbers = members_of(found.manifest).get(path, ())
    members = [found.manifest.members[number] for number in numbers]
    if len(members) != 1 or members[0].length > _MEMBER_LIMIT:
        return None
    data = source.piece(found.first + members[0].offset, members[0].length)
    if data is None:
        return None
    if hashlib.sha256(data).hexdigest() != members[0].sha256:
        raise VerificationError(f"{source.name}: the gzip member that holds {path} is damaged", hint=_REPACK)
    try:
        plain = zlib.decompressobj(wbits=31).decompress(data, _MEMBER_LIMIT)
        with tarfile.open(fileobj=io.BytesIO(plain + bytes(1024)), mode="r:") as tar:
            file = tar.extractfile(path)
            return file.read() if file else None
    except (tarfile.TarError, zlib.error, KeyError, ValueError):
        return None

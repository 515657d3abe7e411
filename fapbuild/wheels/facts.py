"""Facts about a wheel, read once and cached: its metadata, and what its compiled files need."""

import lzma
import struct
import zipfile
import zlib
from email.message import Message
from email.parser import HeaderParser
from functools import lru_cache
from pathlib import Path

import msgspec
from packaging.utils import parse_wheel_filename

from artifact_store.core.errors import FapError
from fapbuild.cache import Cache
from fapbuild.wheels import elf

_KIND = "wheel-facts-1"
BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError),
)
"""Errors of zipfile for files that are not zips, or have damaged, encrypted or unknown parts."""


class WheelFacts(msgspec.Struct, frozen=True):
    """`headers` are those of `*.dist-info/METADATA` (Core metadata specification, packaging.python.org).

    `libraries` and `glibc` are known only for wheels with a plain `linux_…` tag. A manylinux wheel names its
    glibc in its tag, and needs only libraries that every Linux has (PEP 600).
    """

    headers: str = ""
    libraries: tuple[str, ...] = ()
    glibc: str = ""

    def message(self) -> Message:
        """The headers as a mapping by name."""
        return _parsed(self.headers)


NO_FACTS = WheelFacts()


@lru_cache(maxsize=1024)
def _parsed(headers: str) -> Message:
    return HeaderParser().parsestr(headers, headersonly=True)


def facts(cache: Cache, sha256: str, file: str, path: Path) -> WheelFacts:
    """Return the facts about the wheel called `file` at `path`, from the cache if they were read before.

    Raises FapError if the file is not a wheel.
    """
    data, _ = cache.remember(_KIND, f"{sha256} {file}", lambda: msgspec.json.encode(read(path, file)))
    return msgspec.json.decode(data, type=WheelFacts)


def read(path: Path, file: str) -> WheelFacts:
    """Read the facts from the wheel itself; raise FapError if the file is not a wheel."""
    platforms = {tag.platform for tag in parse_wheel_filename(file)[3]}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            data = archive.read(min(names, key=len)) if names else b""
            local = any(platform.startswith("linux_") for platform in platforms)
            needs = elf.needed(archive) if local else elf.Needs()
    except BROKEN as error:
        raise FapError(f"{file} is not a valid wheel: {error}", hint="run `fapbuild lock`") from error
    # Only the headers are needed. They are parsed from text: from bytes, names in UTF-8 get another type.
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return WheelFacts(text.partition("\n\n")[0] + "\n", needs.libraries, needs.glibc)

"""What a wheel says of itself, read once and kept: its metadata, and what its compiled files need."""

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
from fapbuild.wheels import elf as libraries

_KIND = "wheel-facts-1"
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(EOFError, OSError, RuntimeError, ValueError),
)
"""What zipfile raises for a file that is none, or has parts that are damaged, encrypted or not known."""


class Facts(msgspec.Struct, frozen=True):
    """`headers` are those of `*.dist-info/METADATA` (Core metadata specification, packaging.python.org).

    `libraries` and `glibc` are known of wheels that were built for one Linux (`linux_x86_64`); a manylinux
    wheel names its glibc in its tag, and needs what every Linux has (PEP 600).
    """

    headers: str = ""
    libraries: tuple[str, ...] = ()
    glibc: str = ""

    def message(self) -> Message:
        """The headers, to be asked by name."""
        return _parsed(self.headers)


NO_FACTS = Facts()


@lru_cache(maxsize=1024)
def _parsed(headers: str) -> Message:
    return HeaderParser().parsestr(headers, headersonly=True)


def facts(cache: Cache, sha256: str, file: str, path: Path) -> Facts:
    """The facts of the wheel called `file` at `path`, from the cache if they were read before.

    Raises FapError if the file is no wheel.
    """
    kept, _ = cache.remember(_KIND, f"{sha256} {file}", lambda: msgspec.json.encode(read(path, file)))
    return msgspec.json.decode(kept, type=Facts)


def read(path: Path, file: str) -> Facts:
    """Read them from the wheel itself."""
    platforms = {tag.platform for tag in parse_wheel_filename(file)[3]}
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            data = archive.read(min(names, key=len)) if names else b""
            local = any(platform.startswith("linux_") for platform in platforms)
            needs = libraries.needed(archive) if local else libraries.Needs()
    except _BROKEN as error:
        raise FapError(f"{file} is no wheel: {error}", hint="fapbuild lock") from error
    # Only the headers are wanted; from text, as from bytes the parser gives names in UTF-8 another type.
    text = data.decode("utf-8", "replace").replace("\r\n", "\n")
    return Facts(text.partition("\n\n")[0] + "\n", needs.libraries, needs.glibc)

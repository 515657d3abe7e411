"""What the compiled files of a wheel need on the host: shared libraries, and a glibc version.

Format: ELF (gABI: DT_NEEDED; the GNU version needs of SHT_GNU_verneed), read by pyelftools.
"""

import contextlib
import re
import shutil
import tempfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from posixpath import basename

_MAGIC = b"\x7fELF"
# These belong to glibc itself, whose version is checked separately.
_GLIBC = re.compile(
    r"(libc|libm|libdl|librt|libpthread|libutil|libresolv|libanl|libmvec|libBrokenLocale|libthread_db)\.so\.\d+"
    r"|libnsl\.so\.1|ld-linux[\w.-]*\.so\.\d+|ld64\.so\.\d+|linux-vdso\.so\.1"
)
_VERSION = re.compile(r"GLIBC_(\d+(?:\.\d+)+)")


@dataclass(frozen=True)
class Needs:
    """What a wheel needs on the host."""

    libraries: tuple[str, ...] = ()
    """Sonames that the wheel does not contain, sorted."""
    glibc: str = ""
    """The oldest version it runs on (`2.17`); empty if it needs none."""


def needed(wheel: zipfile.ZipFile) -> Needs:
    """Read every ELF file of an open wheel; a file that can't be read as ELF counts as needing nothing."""
    from elftools.common.exceptions import ELFError
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile
    from elftools.elf.gnuversions import GNUVerNeedSection

    own: set[str] = set()
    wanted: set[str] = set()
    versions: set[tuple[int, ...]] = {(0,)}
    for entry in wheel.infolist():
        with wheel.open(entry) as packed, tempfile.TemporaryFile() as file:
            if packed.read(len(_MAGIC)) != _MAGIC:
                continue
            own.add(basename(entry.filename))
            file.write(_MAGIC)
            shutil.copyfileobj(packed, file)
            with contextlib.suppress(ELFError, ValueError, KeyError):
                for section in ELFFile(file).iter_sections():
                    if isinstance(section, DynamicSection):
                        wanted |= _texts(section.iter_tags("DT_NEEDED"), "needed")
                        own |= _texts(section.iter_tags("DT_SONAME"), "soname")
                    elif isinstance(section, GNUVerNeedSection):
                        names = [one.name for _, group in section.iter_versions() for one in group]
                        matches = [match for name in names if (match := _VERSION.fullmatch(name))]
                        versions |= {tuple(map(int, match[1].split("."))) for match in matches}
    newest = max(versions)
    libraries = sorted(name for name in wanted - own if not _GLIBC.fullmatch(name))
    return Needs(tuple(libraries), ".".join(map(str, newest)) if newest != (0,) else "")


def _texts(tags: Iterable[object], name: str) -> set[str]:
    # pyelftools names the attribute of a tag after its kind.
    return {str(getattr(tag, name)) for tag in tags}

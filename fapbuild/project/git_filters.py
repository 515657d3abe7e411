"""What git's filters make of a committed file: in a checkout, it may have other content than in the commit.

A file of git LFS is committed as a pointer (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md); its
content lies beside the objects of git. Other filters are programs, which fapbuild does not run.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LFS = "lfs"
MENTIONED = re.compile(rb"\bfilter\b")
"""What a .gitattributes says somewhere if it gives a filter to files (gitattributes(5))."""
_POINTER = (
    rb"version https://git-lfs\.github\.com/spec/v1\n(?:ext-.*\n)*oid sha256:([0-9a-f]{64})\nsize (\d+)\n"
)
_LARGEST_POINTER = 1024
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Pointer:
    """What git LFS commits in place of a file: the sha256 and the size in bytes of its content."""

    sha256: str
    size: int


def parse_attributes(out: bytes) -> dict[str, str]:
    """The filters by path, from the output of `git check-attr -z --stdin filter`."""
    words = out.decode("utf-8", "surrogateescape").split("\0")
    triples = zip(words[0::3], words[2::3], strict=False)
    return {path: value for path, value in triples if value not in ("unspecified", "unset", "set")}


def only_clean(listing: bytes) -> frozenset[str]:
    """The filters that change a file on its way into a commit, but none on its way out of it.

    `listing` is the output of `git config --list -z`. Filters that it does not name are not among them.
    """
    keys = {line.partition("\n")[0] for line in listing.decode("utf-8", "replace").split("\0")}
    out = {name for name, _, what in map(_parts, keys) if what in ("smudge", "process")}
    return frozenset(name for name, _, what in map(_parts, keys) if what == "clean") - out


def _parts(key: str) -> tuple[str, str, str]:
    section, _, rest = key.partition(".")
    return rest.rpartition(".") if section == "filter" else ("", "", "")


def read_pointer(path: Path) -> Pointer | None:
    """The pointer that the file is; None if it is something else."""
    if path.stat().st_size > _LARGEST_POINTER:
        return None
    match = re.fullmatch(_POINTER, path.read_bytes())
    return Pointer(match[1].decode("ascii"), int(match[2])) if match else None


def put_content(pointer: Pointer, stores: Iterable[Path], path: Path) -> bool:
    """Replace the file at `path` by the content of the pointer, and return whether one of the stores has it.

    `stores` are folders like `.git/lfs/objects`. Content with another sha256 counts as absent.
    """
    name = pointer.sha256
    for store in stores:
        source = store / name[:2] / name[2:4] / name
        try:
            with source.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != name:
                    continue
        except OSError:
            continue
        mode = path.stat().st_mode & 0o777
        path.unlink()
        shutil.copyfile(source, path)
        path.chmod(mode)
        return True
    return False

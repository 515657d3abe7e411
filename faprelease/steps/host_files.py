"""The files of `faprelease/host/`: their text, and the requirements in the header of a script.

The reader of archives is a module of artifact_store, and is sent to hosts as a program like the others.

    # Needs: state, again (yes: after a broken connection), lib/guard.sh.
    # Gives: holder.

A script needs variables that are set before it runs, and libraries that are put before it. It gives variables
that it sets for the scripts after it. A header ends with a full stop; lines that continue it are indented.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from artifact_store.artifact import installing, reader

_FOLDER = Path(__file__).parent.parent / "host"
_HEADER = re.compile(r"^# (Needs|Gives): ((?:.*\n#   +)*.*)\.\n", re.MULTILINE)
_REMARK = re.compile(r" \([^()]*\)")
_CONTINUED = re.compile(r"\n# +")
_COMMENT = re.compile(r"^ *#.*\n", re.MULTILINE)
_NAME = re.compile(r"[a-z_]+|lib/[a-z_]+\.sh")


@dataclass(frozen=True)
class HostScript:
    """A script for hosts: its text without the headers, and their contents.

    The comments of a script explain it in `plan -v`; they are removed from libraries, which many steps share.
    """

    name: str
    text: str
    needs: frozenset[str]
    """Variables that must be set before it."""
    gives: frozenset[str]
    """Variables that it sets for the scripts after it."""
    libraries: tuple[str, ...]
    """Names of scripts that come before it."""


@cache
def read_host_file(name: str) -> str:
    """The text of a file in `faprelease/host/`."""
    return (_FOLDER / name).read_text()


@cache
def read_program(name: str) -> str:
    """The text of a module of a host program: in `programs/`, or one that builders and stores use too."""
    shared = {path.stem: path for path in (*installing.modules(), Path(reader.__file__))}
    return shared[name].read_text() if name in shared else read_host_file(f"programs/{name}.py")


@cache
def read_script(name: str) -> HostScript:
    """The script of a name without its suffix, as `lock/lock`. Raises ValueError for a malformed header."""
    return parse(name, read_host_file(f"{name}.sh"))


def parse(name: str, text: str) -> HostScript:
    """The script with this text. Raises ValueError for a malformed header."""
    headers: dict[str, list[str]] = {"Needs": [], "Gives": []}
    for header, value in _HEADER.findall(text):
        headers[header] += _REMARK.sub("", _CONTINUED.sub(" ", value)).split(", ")
    body = _HEADER.sub("", text)
    wrong = [item for items in headers.values() for item in items if not _NAME.fullmatch(item)]
    if wrong or re.search("^# (Needs|Gives):", body, re.MULTILINE):
        raise ValueError(f"{name}.sh has a header that can't be read: {', '.join(wrong) or 'no full stop'}")
    needs = [item for item in headers["Needs"] if "/" not in item]
    libraries = [item.removesuffix(".sh") for item in headers["Needs"] if "/" in item]
    if name.startswith(("lib/", "session/")):
        body = _COMMENT.sub("", body)
    return HostScript(name, body, frozenset(needs), frozenset(headers["Gives"]), tuple(libraries))


def with_libraries(names: Iterable[str]) -> list[HostScript]:
    """The scripts of these names, in order, each library once before all that need it."""
    scripts: dict[str, HostScript] = {}
    for name in names:
        script = read_script(name)
        for part in (*with_libraries(script.libraries), script):
            scripts.setdefault(part.name, part)
    return list(scripts.values())


def needs_of(scripts: Iterable[HostScript]) -> frozenset[str]:
    """The variables that have to be set before these scripts run one after another."""
    needs: set[str] = set()
    given: set[str] = set()
    for script in scripts:
        needs |= script.needs - given
        given |= script.gives
    return frozenset(needs)

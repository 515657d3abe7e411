"""The format of `requirements.txt`: requirements, and the hashed lock that pip-compile makes from them.

Its grammar is pip's: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

import os
import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement

from artifact_store.core.errors import UsageError
from fapbuild.locks.pins import Origin, Pin, check_secret, git_reference, indexes, normalized, sorted_pins
from fapbuild.project.git_tree import read_text

_HASH = re.compile(r"--hash[=\s]sha256:([0-9a-f]{64})\b", re.I)
_OTHER_HASH = re.compile(r"--hash[=\s](\w+):")
_COMMENT = re.compile(r"(^|\s)#.*$")
_INDEX = re.compile(r"(?:-i|--index-url|--pypi-url|--extra-index-url)[=\s]\s*(\S+)$")
_LINKS = re.compile(r"(?:-f|--find-links)[=\s]?\s*(\S.*)$")
_INCLUDE = re.compile(r"(?:-r|--requirement)[=\s]?\s*(\S.*)$")
_EDITABLE = re.compile(r"(?:-e|--editable)[=\s]\s*(\S.*)$")
_NAMED_URL = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<extras>\[[^\]]*\])?\s*@\s*(?P<url>\S+)(?P<rest>.*)$"
)
_HINT = "run `fapbuild lock`"

NameOf = Callable[[str], str]
"""From a path in the project to the name of the package there."""


@dataclass(frozen=True)
class Requirements:
    """What a project requires."""

    packages: tuple[Requirement, ...]
    paths: tuple[str, ...]
    """Folders and files of the same repository, relative to the project's folder."""
    index: str = ""
    """The package index that it names in place of the configured one."""
    more_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    """Folders relative to the project's, or URLs, where pip looks for files of packages."""


@dataclass(frozen=True)
class _Direct:
    """A line with the location of a package; its name may be empty."""

    name: str
    extras: frozenset[str]
    url: str
    marker: str


def parse_lock(
    text: str,
    name: str,
    environment: Mapping[str, str] | None = None,
    name_of: NameOf | None = None,
) -> tuple[Pin, ...]:
    """Return the pins of the lock `name` whose markers hold in `environment` (None: here), sorted by name.

    Raises UsageError, naming file and line, for anything but `name==version --hash=sha256:…`, a commit of
    a git repository, a URL with a hash, or a path of the same repository.
    """
    pins = []
    index = ""
    urls: list[str] = []
    links: list[str] = []
    for number, line in _logical_lines(text):
        where = f"{name} line {number}"
        direct = _direct(line, where)
        if direct:
            if _holds(_marker(direct.marker, where), environment, where):
                pins.append(_direct_pin(direct, line, where, name_of))
        elif _INCLUDE.match(line):
            raise UsageError(
                f"{where}: a lock can't include another file: {line}",
                hint=f"name what you require in requirements.in, then {_HINT}",
            )
        elif line.startswith("-"):
            url = _index(line, where)
            if not line.startswith("--extra"):
                index, url = next(iter(indexes(url)), index), []
            urls += url
            links += _find_links(line, name, where)
        else:
            requirement = _requirement(re.split(r"\s--hash", line)[0], where)
            pin = _pin(requirement, line, where)
            if _holds(requirement, environment, where):
                pins.append(pin)
    named = indexes(urls)
    pins = [
        pin
        if pin.origin
        else replace(pin, index=index, indexes=named, find_links=tuple(dict.fromkeys(links)))
        for pin in pins
    ]
    return sorted_pins(pins, name, _HINT)


def read(folder: Path, name: str) -> Requirements:
    """Read the requirements file `name` of the project in `folder`, with the files it includes.

    Raises UsageError, naming file and line.
    """
    return _read(folder, name, ())


def parse(lines: Sequence[str], where: str) -> Requirements:
    """Parse lines that are requirements of PEP 508 or paths; raise UsageError, naming the place `where`."""
    parsed = [_required(line, where) for line in lines]
    return Requirements(
        tuple(one for one in parsed if isinstance(one, Requirement)),
        tuple(one for one in parsed if isinstance(one, str)),
    )


def missing(required: Requirements, pins: Sequence[Pin], environment: Mapping[str, str] | None = None) -> str:
    """Say which requirement has no pin at all (`flask>=3 is not in it`); empty if all have one."""
    names = {pin.name for pin in pins}
    for requirement in required.packages:
        if _holds(requirement, environment, str(requirement)) and normalized(requirement.name) not in names:
            return f"{requirement} is not in it"
    return ""


def stale(required: Requirements, pins: Sequence[Pin], environment: Mapping[str, str] | None = None) -> str:
    """Say why the lock no longer fits the requirements (`it has flask 2.0 …`); empty if it does."""
    if reason := missing(required, pins, environment):
        return reason
    by_name = {pin.name: pin for pin in pins}
    paths = {pin.origin.path for pin in pins if pin.origin}
    for path in required.paths:
        if path not in paths:
            return f"{path} is not in it"
    for requirement in _holding(required, environment):
        pin = by_name[normalized(requirement.name)]
        if bool(requirement.url) != bool(pin.origin):
            return f"it has {pin.name} {pin.origin or pin.version}, but {requirement} is required"
        if without := {normalized(extra) for extra in requirement.extras} - pin.extras:
            return f"it has {pin.name} without [{', '.join(sorted(without))}]"
    return wrong_version(required, pins, environment)


def wrong_version(
    required: Requirements, pins: Sequence[Pin], environment: Mapping[str, str] | None = None
) -> str:
    """Say which pin is of a version that is not required; empty if none is."""
    by_name = {pin.name: pin for pin in pins}
    for requirement in _holding(required, environment):
        pin = by_name[normalized(requirement.name)]
        if pin.version and not requirement.specifier.contains(pin.version, prereleases=True):
            return f"it has {pin.name} {pin.version}, but {requirement} is required"
    return ""


def _holding(required: Requirements, environment: Mapping[str, str] | None) -> list[Requirement]:
    return [one for one in required.packages if _holds(one, environment, str(one))]


def place_options(required: Requirements, lock: str) -> list[str]:
    """The option lines for the places that the requirements name, as they are written in the file `lock`."""
    folder = posixpath.dirname(lock) or "."
    return [
        *([f"--index-url {required.index}"] if required.index else []),
        *(f"--extra-index-url {url}" for url in dict.fromkeys(required.more_indexes)),
        *(
            f"--find-links {place if '://' in place else posixpath.relpath(place, folder)}"
            for place in required.find_links
        ),
    ]


def with_extras(pins: tuple[Pin, ...], required: Requirements) -> tuple[Pin, ...]:
    """Return the pins with the required extras, if the lock was written without any.

    pip-compile with `--strip-extras` and uv write such locks.
    """
    if any(pin.extras for pin in pins):
        return pins
    extras: dict[str, set[str]] = {}
    for requirement in required.packages:
        extras.setdefault(normalized(requirement.name), set()).update(map(normalized, requirement.extras))
    return tuple(replace(pin, extras=frozenset(extras.get(pin.name, ()))) for pin in pins)


def with_relative_paths(text: str, folder: Path) -> str:
    """Return the text of a lock with its `file:` URLs as paths from the project in `folder`."""
    return re.sub(r"(?m)(?<=\s)file:\S+", lambda match: relative(match[0], folder), text)


def relative(url: str, folder: Path) -> str:
    """Return a `file:` URL as a path from the project in `folder`: `./libs/shared`."""
    path = Path(os.path.relpath(folder / unquote(urlsplit(url).path), folder)).as_posix()
    return path if path.startswith(".") else f"./{path}"


def _read(folder: Path, name: str, above: tuple[str, ...]) -> Requirements:
    requirements: list[Requirement] = []
    paths: list[str] = []
    index = ""
    more_indexes: list[str] = []
    find_links: list[str] = []
    for number, line in _logical_lines(read_text(folder, name, marked=True)):
        where = f"{name} line {number}"
        if include := _INCLUDE.match(line):
            other = posixpath.normpath(posixpath.join(posixpath.dirname(name), include[1]))
            if other in (*above, name):
                raise UsageError(f"{where}: {other} includes itself")
            included = _read(folder, other, (*above, name))
            requirements += included.packages
            paths += included.paths
            index = included.index or index
            more_indexes += included.more_indexes
            find_links += included.find_links
        elif line.startswith("-") and not _EDITABLE.match(line):
            url = _index(line, where)
            if line.startswith("--extra"):
                more_indexes += url
            elif url:
                index = url[0]
            find_links += _find_links(line, name, where)
        else:
            required = _required(line, where)
            if isinstance(required, str):
                paths.append(required)
            else:
                requirements.append(required)
    return Requirements(
        tuple(requirements), tuple(paths), index, tuple(more_indexes), tuple(dict.fromkeys(find_links))
    )


def _required(line: str, where: str) -> Requirement | str:
    """What a line requires: a package, or the path of a folder or file of the same repository."""
    direct = _direct(line, where)
    if direct is None:
        return _requirement(re.split(r"\s--", line)[0], where)
    if _is_path(direct.url):
        return _path(direct.url, where)
    check_secret(direct.url, where)
    if not direct.name:
        raise UsageError(f"{where}: {direct.url} has no name", hint=f"write it as: NAME @ {direct.url}")
    extras = f"[{','.join(sorted(direct.extras))}]" if direct.extras else ""
    return _requirement(f"{direct.name}{extras} @ {direct.url} {direct.marker}", where)


def _pin(requirement: Requirement, line: str, where: str) -> Pin:
    hashes = _hashes(line, where)
    specifiers = list(requirement.specifier)
    exact = len(specifiers) == 1 and specifiers[0].operator in ("==", "===")
    if not exact or specifiers[0].version.endswith(".*") or not hashes:
        raise UsageError(
            f"{where}: {requirement} is not pinned with == and --hash=sha256:…",
            hint=f"put your requirements into requirements.in, then {_HINT}",
        )
    extras = frozenset(normalized(extra) for extra in requirement.extras)
    return Pin(normalized(requirement.name), specifiers[0].version, extras, hashes)


def _direct_pin(direct: _Direct, line: str, where: str, name_of: NameOf | None) -> Pin:
    hashes = _hashes(line, where)
    if _is_path(direct.url):
        path = _path(direct.url, where)
        name = direct.name or (name_of(path) if name_of else "")
        origin = Origin(path=path)
    else:
        name = direct.name
        origin = _origin(direct.url, hashes, where)
    if not name:
        raise UsageError(f"{where}: {direct.url} has no name", hint=f"write it as: NAME @ {direct.url}")
    return Pin(normalized(name), "", direct.extras, hashes, origin)


def _origin(url: str, hashes: frozenset[str], where: str) -> Origin:
    if not url.startswith("git+"):
        check_secret(url, where)
        if not hashes or urlsplit(url).scheme not in ("http", "https"):
            raise UsageError(f"{where}: {url} has no --hash=sha256:…, so its bytes may change", hint=_HINT)
        return Origin(url)
    bare, _, fragment = url.partition("#")
    repository, _, commit = bare.rpartition("@") if "@" in bare.rpartition("/")[2] else (bare, "", "")
    subdirectory = re.search(r"(?:^|&)subdirectory=([^&]+)", fragment)
    return git_reference(repository, commit, subdirectory[1] if subdirectory else "", where)


def _direct(line: str, where: str) -> _Direct | None:
    """Parse a line `[-e] [NAME @] URL-or-path [; marker]`; None if it is something else."""
    editable = _EDITABLE.match(line)
    body = editable[1] if editable else line
    if body.startswith("-"):
        return None
    body = re.split(r"\s--", body)[0].strip()
    name, extras, url, rest = "", "", "", ""
    if match := _NAMED_URL.match(body):
        name, extras, url, rest = match["name"], match["extras"] or "", match["url"], match["rest"]
    else:
        url, _, rest = (part.strip() for part in re.sub(r"\s+;|;\s", "\0", body, count=1).partition("\0"))
        if egg := re.search(r"[#&]egg=([A-Za-z0-9._-]+)", url):
            name = egg[1]
        if not (editable or re.match(r"(git\+|https?://|file:|\.{1,2}(/|$)|/)", url)):
            return None
        if bracket := re.fullmatch(r"(.*)\[([^\]]*)\]", url):
            url, extras = bracket[1], bracket[2]
    if re.match(r"[a-z]+\+", url) and not url.startswith("git+"):
        raise UsageError(f"{where}: only git repositories can be packed, not {url.split('+')[0]}")
    marker = rest.strip().removeprefix(";").strip()
    names = frozenset(normalized(one.strip()) for one in extras.strip("[]").split(",") if one.strip())
    return _Direct(name, names, url, f"; {marker}" if marker else "")


def _is_path(url: str) -> bool:
    return url.startswith("file:") or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", url)


def _path(url: str, where: str) -> str:
    """The path, relative to the folder where pip runs, which is the project's."""
    bare = url.partition("#")[0]
    path = unquote(urlsplit(bare).path) if bare.startswith("file:") else bare
    if path.startswith("/"):
        raise UsageError(
            f"{where}: {path} is an absolute path",
            hint="write it relative to the project: ./libs/shared",
        )
    return posixpath.normpath(path)


def _index(line: str, where: str) -> list[str]:
    """The index that an option line names; other options are left to pip."""
    if match := _INDEX.match(line):
        check_secret(match[1], where)
        return [match[1]]
    return []


def _find_links(line: str, name: str, where: str) -> list[str]:
    """The place that a `--find-links` line of the file `name` names.

    pip takes a path from the folder of the file, if it exists there, else from the current one. Only the
    first is the same on every machine. Raises UsageError for an absolute path.
    """
    match = _LINKS.match(line)
    if not match:
        return []
    place = match[1].strip().strip("'\"")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", place) and not place.startswith("file:"):
        check_secret(place, where)
        return [place]
    return [posixpath.normpath(posixpath.join(posixpath.dirname(name), _path(place, where)))]


def _hashes(line: str, where: str) -> frozenset[str]:
    """The sha256s of a line, in lower case; raise UsageError if it has only hashes of other algorithms."""
    sha256s = frozenset(digest.lower() for digest in _HASH.findall(line))
    if not sha256s and (other := _OTHER_HASH.search(line)):
        raise UsageError(
            f"{where}: {line.split()[0]} is not pinned by a sha256, only by {other[1]}",
            hint=f"{_HINT}, which writes the sha256 of each file",
        )
    return sha256s


def _requirement(line: str, where: str) -> Requirement:
    try:
        return Requirement(line.strip())
    except (InvalidRequirement, RecursionError) as error:
        raise UsageError(f"{where}: {line.strip()!r} is not a requirement: {error}") from error


def _marker(text: str, where: str) -> Requirement:
    return _requirement(f"x {text}", where)


def _holds(requirement: Requirement, environment: Mapping[str, str] | None, where: str) -> bool:
    if requirement.marker is None:
        return True
    try:
        return requirement.marker.evaluate(dict(environment) if environment else None)
    except (UndefinedEnvironmentName, ValueError) as error:
        raise UsageError(f"{where}: the marker of {requirement} can't be evaluated: {error}") from error


def _logical_lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    start, joined = 0, ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", raw).strip()
        start = start or number
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        if whole := (joined + line).strip():
            lines.append((start, whole))
        start, joined = 0, ""
    if joined.strip():
        lines.append((start, joined.strip()))
    return lines

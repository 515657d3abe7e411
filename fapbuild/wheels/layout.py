"""Where the files of wheels go in a venv, and what no host could install: seen while packing, not on hosts.

The folders are those of the binary distribution format (packaging.python.org); entry points are read as the
`installer` package reads them.
"""

import posixpath
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from packaging.utils import canonicalize_name

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import FapError, UsageError
from fapbuild.cache import Cache
from fapbuild.project.config import Allowed
from fapbuild.project.patterns import matcher
from fapbuild.report import Say
from fapbuild.wheels import embedding
from fapbuild.wheels.facts import BROKEN, facts
from fapbuild.wheels.vendor import VendoredWheel

_KIND, _ALL = "wheel-layout-2", "wheel-conflicts-3"
_SITE = "site-packages"
_DATA = r"[^/]+\.data/(?P<scheme>purelib|platlib|scripts|headers|data)/(?P<path>.+)"
_PLACES = {"purelib": _SITE, "platlib": _SITE, "scripts": "bin", "data": "", "headers": "include/site"}
_ENTRY_POINT = r"[\w.]+\s*:\s*[\w.]+\s*(\[.*\])?\s*$"
_PYTHONS = r"bin/python(3(\.\d+)?)?"
_OF_SCRIPTS = ("bin/dirname", "bin/readlink")
"""Programs that each script in a venv starts, from the PATH on which the venv comes first."""
_NAMESPACE = rb"pkgutil|declare_namespace"
_IDLE = (
    rf"(?i){_SITE}/((tests?|docs?|examples?|benchmarks?)/|"
    r"(licen[cs]e|copying|notice|readme|change|authors)[^/]*$|[^/]+\.(md|rst|txt)$)"
)
"""Files that nothing imports or reads by their place."""
_SHOWN = 5


class Layout(msgspec.Struct, frozen=True):
    """The paths in a venv of the files of a wheel, each with a value that differs if its content does."""

    files: dict[str, str] = {}
    problem: str = ""
    """Why the wheel can't be installed; empty if it can."""
    embeds: str = ""
    """A program in it that was linked with the Python that built it, as uWSGI is; else empty."""


def check(
    wheels: Sequence[VendoredWheel],
    platform: Platform,
    allow: Sequence[Allowed],
    started: Collection[str],
    cache: Cache,
    say: Say,
) -> None:
    """Raise an error for wheels that can't be installed, or not beside each other; warn where one wins.

    Files of a path that `allow` names, as `venv/…`, may differ, and so may commands that no process starts;
    `started` are those that one does. The result is cached.
    """
    allowed = [one.path for one in allow]
    files = [(wheel.file, wheel.sha256) for wheel in wheels]
    question = repr((files, platform.python, allowed, sorted(started)))
    is_allowed = matcher(allowed)
    lines, _ = cache.remember(
        _ALL, question, lambda: msgspec.json.encode(list(_warnings(wheels, is_allowed, started, cache)))
    )
    for line in msgspec.json.decode(lines, type=list[str]):
        say(f"warning: {line}")


def contents(wheels: Sequence[VendoredWheel], cache: Cache) -> tuple[frozenset[str], frozenset[str]]:
    """The names of the programs in the wheels, and of their top modules; the result is cached."""

    def read_all() -> bytes:
        paths = [path for wheel in wheels for path in layout(cache, wheel).files]
        scripts = sorted({path[4:] for path in paths if path.startswith("bin/")})
        tops = {path.split("/")[1].partition(".")[0] for path in paths if path.startswith(f"{_SITE}/")}
        return msgspec.json.encode((scripts, sorted(tops)))

    data, _ = cache.remember("wheel-contents-1", repr([(one.file, one.sha256) for one in wheels]), read_all)
    scripts, modules = msgspec.json.decode(data, type=tuple[frozenset[str], frozenset[str]])
    return scripts, modules


def _warnings(
    wheels: Sequence[VendoredWheel],
    is_allowed: Callable[[str], bool],
    started: Collection[str],
    cache: Cache,
) -> Iterator[str]:
    layouts = {wheel.file: layout(cache, wheel) for wheel in sorted(wheels, key=lambda wheel: wheel.file)}
    for file, one in layouts.items():
        if one.problem:
            raise FapError(
                f"{file} can't be installed: {one.problem}",
                hint="require another version of it, or report it to its authors",
            )
    _check_folders(layouts)
    for file, one in layouts.items():
        if one.embeds:
            yield f"{one.embeds} of {file} has the Python in it that built it: pack with that of your hosts"
    differing = list(_differing(layouts))
    by_file = {wheel.file: wheel for wheel in wheels}
    refused = [
        (path, first, second)
        for path, first, second in differing
        if not re.match(_IDLE, path)
        and not is_allowed(f"venv/{path}")
        and not (
            path.startswith("bin/")
            and (path[4:] not in started or _related(by_file[first], by_file[second], cache))
        )
    ]
    if refused:
        path, first, second = refused[0]
        shown = "\n".join(f"  {path}: in {first} and {second}" for path, first, second in refused[:_SHOWN])
        more = f"\n  and {len(refused) - _SHOWN} more" if refused[_SHOWN:] else ""
        raise UsageError(
            f"two packages have different files of one name, and only one can be installed:\n{shown}{more}",
            hint=f"require only one of the two; or, if either file is right (that of {second} is installed), "
            f'add to [tool.fapbuild]: allow = [{{path = "venv/{path}", reason = "why"}}]',
        )
    for path, first, second in differing[:_SHOWN]:
        yield f"{path} is in {first} and in {second}: that of {second} is installed"


def _differing(layouts: Mapping[str, Layout]) -> Iterator[tuple[str, str, str]]:
    """Paths whose files differ, with the two wheels; the second is unpacked later, and wins."""
    owners: dict[str, tuple[str, str]] = {}
    for file, one in layouts.items():
        for path, value in one.files.items():
            owner, before = owners.get(path, (file, value))
            if before != value:
                yield path, owner, file
            owners[path] = (file, value)


def _related(one: VendoredWheel, other: VendoredWheel, cache: Cache) -> bool:
    """Whether one of two wheels requires the other: then both are meant to have a command of one name."""
    from packaging.requirements import InvalidRequirement, Requirement

    messages = [facts(cache, wheel.sha256, wheel.file, wheel.path).message() for wheel in (one, other)]
    names = [canonicalize_name(str(message["Name"])) for message in messages]
    for message, name in zip(messages, reversed(names), strict=True):
        for line in message.get_all("Requires-Dist", []):
            try:
                if canonicalize_name(Requirement(line).name) == name:
                    return True
            except InvalidRequirement:
                continue
    return False


def _check_folders(layouts: Mapping[str, Layout]) -> None:
    folders: dict[str, str] = {}
    for file, one in layouts.items():
        for path in one.files:
            while (path := posixpath.dirname(path)) and path not in folders:
                folders[path] = file
    for file, one in layouts.items():
        for path in one.files.keys() & folders.keys():
            raise UsageError(
                f"{path} is a file in {file}, and a folder in {folders[path]}",
                hint="require only one of the two, or another version of one",
            )


def layout(cache: Cache, wheel: VendoredWheel) -> Layout:
    """The layout of a wheel, from the cache if it was read before."""
    data, _ = cache.remember(
        _KIND, f"{wheel.sha256} {wheel.file}", lambda: msgspec.json.encode(read(wheel.path, wheel.file))
    )
    return msgspec.json.decode(data, type=Layout)


def read(path: Path, file: str) -> Layout:
    """Read the layout of the wheel called `file`; raise FapError if it is not a wheel."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = dict(_files(archive))
            names = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
            scripts = _scripts(archive.read(min(names, key=len))) if names else {}
            embeds = embedding.in_archive(archive) if "-linux_" in file else ""
    except _UnusableError as error:
        return Layout(problem=str(error))
    except BROKEN as error:
        raise FapError(f"{file} is not a valid wheel: {error}", hint="run `fapbuild lock`") from error
    files |= scripts
    for name in files:
        if re.fullmatch(_PYTHONS, name) or name in _OF_SCRIPTS:
            return Layout(
                problem=f"it has a script called {posixpath.basename(name)}, which every venv needs"
            )
    return Layout(files, embeds=embeds)


class _UnusableError(Exception):
    """Why a wheel can't be installed."""


def _files(archive: zipfile.ZipFile) -> Iterator[tuple[str, str]]:
    for item in archive.infolist():
        if item.is_dir():
            continue
        match = re.fullmatch(_DATA, item.filename)
        place, path = (_PLACES[match["scheme"]], match["path"]) if match else (_SITE, item.filename)
        value = f"{item.CRC:08x}{item.file_size}"
        if posixpath.basename(path) == "__init__.py" and item.file_size < 1 << 12:
            value = "namespace" if re.search(_NAMESPACE, archive.read(item)) else value
        yield posixpath.normpath(posixpath.join(place, path)), value


def _scripts(data: bytes) -> dict[str, str]:
    """The scripts that the entry points make, by path."""
    import configparser  # only for wheels that are new

    parser = configparser.ConfigParser(delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(data.decode("utf-8"))
        pairs = [
            (name, value)
            for section in ("console_scripts", "gui_scripts")
            if parser.has_section(section)
            for name, value in parser.items(section)
        ]
    except (configparser.Error, UnicodeDecodeError) as error:
        raise _UnusableError(f"its entry_points.txt can't be read: {' '.join(str(error).split())}") from error
    for name, value in pairs:
        if not re.match(_ENTRY_POINT, value or "") or "/" in name:
            raise _UnusableError(f"its command {name} = {value} names no function in a module")
    return {f"bin/{name}": f"entry point {value}" for name, value in pairs}

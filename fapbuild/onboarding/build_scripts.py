"""Finds the commands that build a front end: a script of package.json, or a target of the Makefile."""

import posixpath
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from fapbuild.project.config import subtable

Read = Callable[[str], str]

_DOCKERFILE = re.compile(r"(^|/)([Dd]ockerfile[\w.-]*|[\w.-]*\.[Dd]ockerfile)$")
_LINES_OF_BUILDS = re.compile(r"(^|/)(Makefile|Justfile|[\w.-]*\.sh)$|^\.github/workflows/[\w.-]+\.ya?ml$")
_DEVELOPERS = re.compile(
    r"(^|[/_.:-])(dev|develop|development|tests?|e2e|ci|lint|format|watch|start|serve|docs?|storybook)([/_.:-]|$)"
)
_BUILDS = re.compile(r"(^|[_:-])(build|compile|bundle|generate|dist|prod|production|postbuild)([_:-]|$)")
_RUNS = re.compile(r"\b(?:npm|pnpm|yarn|bun)(?:\s+run)?(?:\s+-[\w-]+)*\s+(?P<name>[\w:.-]+)")
_MAKE = re.compile(r"\bmake\s+(?P<name>[\w.-]+)")
_NODE = re.compile(r"\b(npx|npm|pnpm|yarn|bunx?)\b")
_TOOLS = re.compile(
    r"(@[\w-]+/)?(gulp|grunt|sass|node-sass|less|stylus|webpack|vite|rollup|esbuild|parcel|postcss|tailwindcss"
    r"|uglify-js|uglify-es|terser|browserify)(-cli)?"
)


def commands(
    scripts: Mapping[str, object], folder: str, run: str, files: Collection[str], read: Read
) -> tuple[str, ...]:
    """The commands that build the front end of a folder, for hosts; empty if none was found.

    `run` is the command that a script's name follows. What a Dockerfile runs comes before the script `build`,
    and that before the one script that another file runs, or that is called like a build. Without any, it is
    what a Dockerfile makes by the Makefile.
    """
    known = [name for name, line in scripts.items() if isinstance(line, str) and not _DEVELOPERS.search(name)]
    images = [path for path in sorted(files) if _DOCKERFILE.search(path) and not _DEVELOPERS.search(path)]
    names = [name for name in _named(_RUNS, images, read) if name in known]
    if any(map(_BUILDS.search, names)) or (names and "build" not in known):
        return tuple(f"{run} {shlex.quote(name)}" for name in names)
    if "build" in known:
        return (f"{run} build",)
    others = [path for path in sorted(files) if _LINES_OF_BUILDS.search(path)]
    building = [name for name in known if _BUILDS.search(name)]
    named = [name for name in _named(_RUNS, others, read) if name in building]
    if chosen := named or building:
        return (f"{run} {shlex.quote(chosen[0])}",) if len(chosen) == 1 else ()
    return tuple(f"make {name}" for name in _targets(folder, images, files, read))


def not_found(package: Mapping[str, object]) -> str:
    """Why there is no command, for people; empty if a package.json seems to build nothing."""
    scripts = subtable(package, "scripts")
    if names := [name for name in scripts if _BUILDS.search(name) and not _DEVELOPERS.search(name)]:
        return f"which of its scripts hosts need was not found: {', '.join(names)}"
    packages = {**subtable(package, "dependencies"), **subtable(package, "devDependencies")}
    if compilers := sorted(name for name in packages if _TOOLS.fullmatch(name)):
        return f"which command builds it with {', '.join(compilers)} was not found"
    return ""


def _named(pattern: re.Pattern[str], paths: Iterable[str], read: Read) -> Iterator[str]:
    """The names in lines of these files, each once."""
    lines = (line.partition("#")[0] for path in paths for line in read(path).splitlines())
    matches = (match["name"] for line in lines for match in pattern.finditer(line))
    yield from dict.fromkeys(matches)


def _targets(folder: str, images: Iterable[str], files: Collection[str], read: Read) -> list[str]:
    """The targets of the folder's Makefile that an image is made with, and that start programs of Node."""
    path = posixpath.join(folder, "Makefile")
    text = read(path) if path in files else ""
    recipes = dict(re.findall(r"^([\w.-]+):[^\n=]*\n((?:\t[^\n]*\n?)+)", text, re.MULTILINE))
    return [name for name in _named(_MAKE, images, read) if _NODE.search(recipes.get(name, ""))]

"""Packages that no index has: a commit of a git repository, a URL, a folder of this one (PEP 508).

Each becomes a wheel once, kept under its commit, hash or content; from there on it is a pin like any other.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from artifact_store.artifact.manifest import MTIME, Platform
from artifact_store.core.errors import FapError
from fapbuild import command
from fapbuild.cache import Cache, Kept
from fapbuild.locks import Origin, Pin
from fapbuild.project import git_tree as sources
from fapbuild.project import platforms
from fapbuild.wheels import vendor as wheels
from fapbuild.wheels.shared import WheelStore

Say = Callable[[str], None]


def build(
    pins: Sequence[Pin],
    tree: sources.SourceTree,
    platform: Platform,
    cache: Cache,
    work: Path,
    say: Say,
    shared: WheelStore | None = None,
) -> tuple[Pin, ...]:
    """The same pins, where each with an origin is now the version and sha256 of a wheel in the cache.

    Raises UsageError for a path that is not committed, FapError if something can't be fetched or built.
    """
    found = []
    for pin in pins:
        if pin.origin:
            kept = _kept(pin, pin.origin, tree, platform, cache, work, say, shared)
            pin = _pinned(pin, pin.origin, kept)
            wheels.remember(cache, pin, platform, shared, kept)
        found.append(pin)
    return tuple(found)


def _kept(
    pin: Pin,
    origin: Origin,
    tree: sources.SourceTree,
    platform: Platform,
    cache: Cache,
    work: Path,
    say: Say,
    shared: WheelStore | None,
) -> Kept:
    source = _source(pin, origin, tree)
    question = " ".join([source, platforms.name(platform), shared.name if shared else ""])
    if kept := cache.answer("direct", question):
        return kept

    def make(folder: Path) -> Path:
        say(f"building {pin.name} from {origin}")
        return _wheel(pin, origin, tree, folder)

    folder = work / f"direct-{pin.name}"
    made = wheels.built_once(cache, pin.name, source, platform, folder, say, shared, make)
    return cache.record("direct", question, made)


def _pinned(pin: Pin, origin: Origin, kept: Kept) -> Pin:
    name, version, _, _ = parse_wheel_filename(kept.file)
    if canonicalize_name(name) != pin.name or pin.version not in ("", str(version)):
        raise FapError(
            f"{origin} is {name} {version}, and the lock says {pin.name} {pin.version}".rstrip(),
            hint="fapbuild lock, and commit the lock",
        )
    return Pin(pin.name, str(version), pin.extras, frozenset({kept.sha256}))


def _source(pin: Pin, origin: Origin, tree: sources.SourceTree) -> str:
    """The sha256 of all that decides which wheel it becomes, but for the target."""
    content = f"path {sources.content(tree, origin.path)}" if origin.path else origin.reference
    return hashlib.sha256(" ".join([pin.name, content, *sorted(pin.sha256s)]).encode("utf-8")).hexdigest()


def _wheel(pin: Pin, origin: Origin, tree: sources.SourceTree, work: Path) -> Path:
    """Let pip build it (or fetch it, if it is a wheel) in the new folder `work`."""
    work.mkdir()
    hashes = [f"--hash=sha256:{sha}" for sha in sorted(pin.sha256s)]
    if origin.path:
        requirement = str(sources.export(tree, origin.path, work / "source"))
    else:
        requirement = " ".join([f"{pin.name} @ {origin.reference}", *hashes])
    wanted, out = work / "wanted.txt", work / "out"
    wanted.write_text(f"{requirement}\n", encoding="utf-8")
    argv = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-input", "--disable-pip-version-check"]
    argv += ["--no-deps", "--wheel-dir", str(out), "--requirement", str(wanted)]
    command.run(
        argv,
        cwd=work,
        env={"SOURCE_DATE_EPOCH": str(MTIME), "PYTHONHASHSEED": "0", "GIT_TERMINAL_PROMPT": "0"},
        hint=f"it must be reachable from here, and what {pin.name} needs to compile be installed",
    )
    found = list(out.glob("*.whl"))
    if len(found) != 1:
        raise FapError(f"building {origin} gave {len(found)} wheels")
    try:
        parse_wheel_filename(found[0].name)
    except InvalidWheelFilename as error:
        raise FapError(f"building {origin} gave {found[0].name}: {error}") from error
    return found[0]

"""Packages that no index has: a commit of a git repository, a URL, a folder of the repository (PEP 508).

Each is built into a wheel once and cached by its commit, hash or content. From then on it is an ordinary pin.
"""

import hashlib
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from artifact_store.core.errors import FapError
from fapbuild import command, isolation
from fapbuild.cache import CachedFile
from fapbuild.locks import Origin, Pin
from fapbuild.project import git_tree
from fapbuild.project.git_tree import SourceTree
from fapbuild.project.git_versions import VARIABLES, asks_git
from fapbuild.wheels import local_urls, sdist
from fapbuild.wheels.builder import WheelBuilder


def build(pins: Sequence[Pin], tree: SourceTree, builder: WheelBuilder) -> tuple[Pin, ...]:
    """Return the same pins, where each with an origin now names the version and sha256 of a cached wheel.

    Raises UsageError for a path that is not committed, FapError if something can't be fetched or built.
    """
    return tuple(_built(pin, pin.origin, tree, builder) if pin.origin else pin for pin in pins)


def _built(pin: Pin, origin: Origin, tree: SourceTree, builder: WheelBuilder) -> Pin:
    wheel = _wheel(pin, origin, tree, builder)
    name, version, _, _ = parse_wheel_filename(wheel.file)
    if canonicalize_name(name) != pin.name or pin.version not in ("", str(version)):
        raise FapError(
            f"{origin} is {name} {version}, but the lock says {pin.name} {pin.version}".rstrip(),
            hint="run `fapbuild lock`, then commit the lock",
        )
    built = Pin(pin.name, str(version), pin.extras, frozenset({wheel.sha256}))
    builder.remember(built, wheel)
    return built


def _wheel(pin: Pin, origin: Origin, tree: SourceTree, builder: WheelBuilder) -> CachedFile:
    source = _source(pin, origin, tree)
    question = " ".join([source, builder.place, builder.constraints_digest]).rstrip()
    if wheel := builder.cache.answer("direct", question):
        return wheel

    def build(folder: Path) -> Path:
        builder.say(f"building {pin.name} from {origin}")
        return _build(pin, origin, tree, folder, builder.pass_env, builder.constraints)

    return builder.cache.record("direct", question, builder.build_once(pin.name, source, build))


def _source(pin: Pin, origin: Origin, tree: SourceTree) -> str:
    """The sha256 of everything that decides the wheel, except the platform."""
    content = f"path {git_tree.content(tree, origin.path)}" if origin.path else origin.reference
    if _asks_git(origin, tree):
        given = (f"{name}={os.environ[name]}" for name in sorted(os.environ) if re.fullmatch(VARIABLES, name))
        content = " ".join([content, git_tree.history(tree), *given])
    return hashlib.sha256(" ".join([pin.name, content, *sorted(pin.sha256s)]).encode("utf-8")).hexdigest()


def _asks_git(origin: Origin, tree: SourceTree) -> bool:
    return bool(origin.path) and asks_git(tree.folder / origin.path)


def _build(
    pin: Pin, origin: Origin, tree: SourceTree, work: Path, pass_env: Collection[str], constraints: str
) -> Path:
    """Let pip build the wheel (or fetch it, if it is one) in the new folder `work`."""
    work.mkdir()
    hashes = [f"--hash=sha256:{sha}" for sha in sorted(pin.sha256s)]
    if origin.path:
        export = git_tree.export_with_history if _asks_git(origin, tree) else git_tree.export
        requirement = str(export(tree, origin.path, work / "source"))
    else:
        requirement = " ".join([f"{pin.name} @ {origin.reference}", *hashes])
    requirements, out = work / "requirements.txt", work / "out"
    requirements.write_text(f"{requirement}\n", encoding="utf-8")
    argv = ["pip", "wheel", "--quiet", "--no-input", "--disable-pip-version-check"]
    # pip's own cache may have a wheel of this commit that was built with other tools.
    argv += ["--no-cache-dir", "--no-deps", "--wheel-dir", str(out), "--requirement", str(requirements)]
    command.run(
        argv,
        start=isolation.pip(os.environ, pass_env),
        cwd=work,
        env={**sdist.environment(work, constraints), "GIT_TERMINAL_PROMPT": "0"},
        hint=f"check that it can be reached from here, and that {pin.name} can be compiled here",
    )
    wheels = list(out.glob("*.whl"))
    if len(wheels) != 1:
        raise FapError(f"building {origin} gave {len(wheels)} wheels")
    try:
        parse_wheel_filename(wheels[0].name)
    except InvalidWheelFilename as error:
        raise FapError(f"building {origin} gave {wheels[0].name}: {error}") from error
    if not urlsplit(origin.reference).path.endswith(".whl"):
        local_urls.remove(wheels[0])
    return wheels[0]

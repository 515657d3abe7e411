"""Asset steps: they run in a copy of the committed files, and only what they declare leaves it."""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from artifact_store.errors import FapError
from fapbuild import command
from fapbuild.config import Assets
from fapbuild.sources import LINK, check_link, mode_of

# What a compiler or a package manager needs to find its programs, its caches and its way out. Anything
# else (keys of a cloud account, say) stays out of reach of the code that a front end pulls in.
_PASSED = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
)
_PASSED_ANY_CASE = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
_PASSED_PREFIXES = ("npm_config_", "ssl_cert_", "node_extra_ca_certs")


@dataclass(frozen=True)
class Output:
    """A file that a step made; `path` is relative to the project's folder, `source` where it is now."""

    path: str
    mode: int
    size: int
    source: Path


def compile_all(
    steps: Sequence[Assets], tree: Path, into: Path, epoch: int, say: Callable[[str], None]
) -> tuple[Output, ...]:
    """Run the steps, one after the other, in `into`, a new copy of `tree`; return what they declare.

    `epoch` (seconds since 1970) is told to them as SOURCE_DATE_EPOCH. Raises FapError if a command fails
    or a declared output is not there.
    """
    if not steps:
        return ()
    shutil.copytree(tree, into, symlinks=True)
    env = environment(dict(os.environ), epoch)
    for step in steps:
        say(f"compiling {step.name}")
        folder = into / step.directory
        if not folder.is_dir():
            raise FapError(f"assets {step.name!r}: the folder {step.directory} is not committed")
        for line in step.run:
            try:
                command.run(["sh", "-e", "-c", line], cwd=folder, env=env, clean=True)
            except FapError as error:
                raise FapError(
                    f"assets {step.name!r}: {line!r} failed\n{error.message}",
                    hint="it ran in a copy of the committed files: is all it needs committed?",
                ) from error
    found: dict[str, Output] = {}
    for step in steps:
        for name in step.outputs:
            for output in _collect(into, name, step.name):
                found[output.path] = output
    return tuple(found[path] for path in sorted(found))


def environment(mine: dict[str, str], epoch: int) -> dict[str, str]:
    """The variables an asset step gets, out of `mine`."""
    passed = {
        key: value
        for key, value in mine.items()
        if key in _PASSED or key.lower() in _PASSED_ANY_CASE or key.lower().startswith(_PASSED_PREFIXES)
    }
    return {**passed, "SOURCE_DATE_EPOCH": str(epoch)}


def _collect(root: Path, name: str, step: str) -> list[Output]:
    start = root / name
    if not os.path.lexists(start):
        raise FapError(
            f"assets {step!r} made no {name}",
            hint="outputs are relative to the project's folder",
        )
    if not Path(os.path.realpath(start)).is_relative_to(os.path.realpath(root)):
        raise FapError(f"assets {step!r}: the output {name} lies outside the project")
    paths = [start] if start.is_symlink() or not start.is_dir() else _files_below(start)
    outputs = []
    for path in paths:
        relative = path.relative_to(root).as_posix()
        mode = mode_of(path)
        if mode == LINK:
            check_link(root, relative)
        outputs.append(Output(relative, mode, 0 if mode == LINK else path.stat().st_size, path))
    if not outputs:
        raise FapError(f"assets {step!r}: the output {name} is an empty folder")
    return outputs


def _files_below(start: Path) -> list[Path]:
    return [path for path in start.rglob("*") if path.is_symlink() or not path.is_dir()]

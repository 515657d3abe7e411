"""What code of packages and asset steps may see: their variables, and walls around their processes."""

import functools
import json
import os
import pwd
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from artifact_store.core.folders import make_folder
from fapbuild import command
from fapbuild.isolation import key_files
from fapbuild.isolation.variables import FIXED, of_builds
from fapbuild.report import Say

_PROGRAMS = Path(__file__).parent / "programs"
_CONTAIN = (sys.executable, "-I", "-S", str(_PROGRAMS / "contain.py"))


def contained(env: Mapping[str, str], *, network: bool = True) -> list[str]:
    """The start of a command that sees no process but its own, and no file of keys that `env` does not name.

    `env` are all its variables. Without `network` it has a loopback of its own.
    """
    return [*_CONTAIN, *_hide_keys(env), *([] if network else ["--no-network"]), "--"]


def pip(
    environ: Mapping[str, str], passed: Collection[str] = (), *, releases_from: str | None = None
) -> list[str]:
    """The start of the command of a Python module that is, or uses, pip.

    Code of packages that it runs is contained, and gets few of the variables in `environ`, and those that
    `passed` names. With `releases_from` it chooses packages for all releases of this Python's minor version
    from that one on, or for all. Raises UsageError if one of them is not set.
    """
    variables = of_builds(environ, passed)
    contain = [*_CONTAIN, *_hide_keys(variables)]
    if sys.prefix != sys.base_prefix:
        contain += ["--read-only", sys.prefix]
    options = {
        "contain": contain,
        "variables": sorted({*variables, *FIXED}),
        "releases_from": releases_from,
    }
    return [sys.executable, "-P", str(_PROGRAMS / "run_pip.py"), json.dumps(options)]


@functools.cache
def warn(say: Say) -> None:
    """Say, once, what this machine can't contain."""
    if missing := _missing():
        say(
            f"warning: code of packages and asset steps is not contained here ({missing}): it can read the "
            "variables of fapbuild and other processes, and files with keys; network = false closes nothing"
        )
        say(
            "hint: allow user namespaces: sysctl user.max_user_namespaces, and on Ubuntu "
            "kernel.apparmor_restrict_unprivileged_userns=0"
        )


@functools.cache
def _missing() -> str:
    return command.run([*_CONTAIN, "--check"], cwd=Path("/"), env={}, clean=True).decode().strip()


def _hide_keys(env: Mapping[str, str]) -> list[str]:
    homes = {Path(os.environ.get("HOME") or "/")}
    with suppress(KeyError):
        homes.add(Path(pwd.getpwuid(os.getuid()).pw_dir))
    with suppress(OSError):
        make_folder(key_files.logins())  # there may be none yet, but other builds may write some in a moment
    files = {*key_files.existing(os.environ, sorted(homes))} - {*env.values()}
    return [word for file in sorted(files) for word in ("--hide", file)]

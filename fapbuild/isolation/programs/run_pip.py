"""Run pip, or a module that uses it, such as build, and contain the code of packages that it starts.

    python -P run_pip.py OPTIONS pip ARGUMENT...

OPTIONS is a JSON object: `variables` names those that a build backend gets, besides those that pip sets for
it, and `contain` is the start of the command by which it is started. `releases_from` is null, or the oldest
release of this minor version of Python for which pip chooses packages (`3.11.2`, or empty for any).

pip itself has the whole environment, as it needs the logins of indexes and repositories. Its own children run
by this program, too: they build packages in their turn. A build environment is read-only for the code in it,
since pip starts its interpreter again.
"""

import json
import os
import runpy
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

ASKED = "git", "hg", "svn", "bzr", "keyring", "rustc", "lsb_release"
"""Programs that pip starts for itself."""
SET_BY_PIP = "PATH", "PYTHONPATH", "PYTHONNOUSERSITE"
SET_BY_PIP_PREFIXES = "_PYPROJECT_HOOKS_", "PEP517_"

OPTIONS = sys.argv[1]


class Process(subprocess.Popen):
    """A process that pip starts."""

    def __init__(self, args, *more, env=None, **options):
        argv = [os.fspath(arg) for arg in ([args] if isinstance(args, (str, bytes, os.PathLike)) else args)]
        if pip := arguments_of_pip(argv):
            env = with_keyring(argv, os.environ if env is None else env)
            argv = [argv[0], "-P", __file__, OPTIONS, *pip]
        elif Path(argv[0]).name not in ASKED:
            argv, env = contained(argv, os.environ if env is None else env, **json.loads(OPTIONS))
        super().__init__(argv, *more, env=env, **options)


def arguments_of_pip(argv):
    """How a pip is started, as words after OPTIONS; empty for another program.

    build starts pip as a module. pip starts itself as the file __pip-runner__.py; older ones as their folder.
    """
    if argv[:3] == [sys.executable, "-m", "pip"]:
        return argv[2:]
    import pip

    place = Path(pip.__file__).resolve().parent
    return argv[1:] if argv[1:2] in ([str(place)], [str(place / "__pip-runner__.py")]) else []


def with_keyring(argv, env):
    """Its environment: a pip in another venv can't import keyring, and must run the command instead."""
    if argv[0] == sys.executable or env.get("PIP_KEYRING_PROVIDER") != "import":
        return env
    path = os.pathsep.join([os.path.dirname(sys.executable), env.get("PATH", os.defpath)])
    return {**env, "PIP_KEYRING_PROVIDER": "subprocess", "PATH": path}


def contained(argv, env, contain, variables, **_):
    """The command and the environment of code that came with a package."""
    build_environment = Path(argv[0]).parent.parent
    if (build_environment / "pyvenv.cfg").is_file():
        contain = [*contain, "--read-only", str(build_environment)]
    names = {*variables, *SET_BY_PIP, *(name for name in env if name.startswith(SET_BY_PIP_PREFIXES))}
    return [*contain, "--", *argv], {name: env[name] for name in names if name in env}


def for_releases_from(release):
    """Have pip take what any release of this minor version of Python needs, from the given one on.

    A marker like `python_full_version < "3.11.3"` is true on some hosts with the same minor version. If
    `release` is empty, that is from the first one on. Otherwise packages also have to support it.
    """
    from pip._vendor.packaging.markers import Marker

    first = {"python_full_version": release or "{}.{}.0".format(*sys.version_info)}
    if release:
        Version = namedtuple("Version", "major minor micro releaselevel serial")
        sys.version_info = Version(*map(int, release.split(".")), "final", 0)
    evaluate = Marker.evaluate

    def anywhere(self, environment=None, *more, **options):
        here = evaluate(self, environment, *more, **options)
        return here or evaluate(self, {**(environment or {}), **first}, *more, **options)

    Marker.evaluate = anywhere


if __name__ == "__main__":
    sys.argv[:] = sys.argv[2:]
    subprocess.Popen = Process
    if (release := json.loads(OPTIONS)["releases_from"]) is not None:
        for_releases_from(release)
    if Path(sys.argv[0]).is_absolute():
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

"""The folder of a virtual environment, made by hand: no ensurepip, no module venv, no scripts to activate it.

What makes a folder one is said in PEP 405 and in the documentation of `site`: pyvenv.cfg beside bin/.
"""

import os
import sys
from pathlib import Path

from refusal import RefusedError

VERSION = "{}.{}".format(*sys.version_info[:2])


def begin(venv):
    """Make the folders; the path of the one of the packages, which is the caller's to make."""
    site = venv / "lib" / f"python{VERSION}" / "site-packages"
    site.parent.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "lib64").symlink_to("lib")
    return site


def finish(venv, app):
    """Link the interpreter, and make it a virtual environment.

    Done after the packages, which are then written through no link to the interpreter.
    """
    python = Path(getattr(sys, "_base_executable", "") or sys.executable)
    try:
        (venv / "bin" / "python").symlink_to(python)
        for name in ("python3", f"python{VERSION}"):
            (venv / "bin" / name).symlink_to("python")
        with open(venv / "pyvenv.cfg", "x", encoding="utf-8") as config:
            config.write(f"home = {python.parent}\ninclude-system-site-packages = false\n")
            config.write("version = {}.{}.{}\nprompt = {}\n".format(*sys.version_info[:3], app))
    except FileExistsError as error:
        path = os.path.relpath(error.filename2 or error.filename, venv)
        raise RefusedError(f"a package brings venv/{path}, which is the interpreter's place") from None

"""Makes the folder of a virtual environment by hand: without ensurepip, the module venv, or activate scripts.

PEP 405 and the documentation of `site` define the layout: pyvenv.cfg beside bin/.
"""

import os
import sys

from refusal import RefusedError

VERSION = "{}.{}".format(*sys.version_info[:2])
SITE = os.path.join("lib", "python" + VERSION, "site-packages")
LINK = "packages"
"""In a venv with shared packages: the link that names them."""


def begin(venv):
    """Make the folders; return the path for the packages, which the caller has to make."""
    site = os.path.join(venv, SITE)
    os.makedirs(os.path.dirname(site))
    os.mkdir(os.path.join(venv, "bin"))
    os.symlink("lib", os.path.join(venv, "lib64"))
    return site


def finish(venv, app):
    """Link the interpreter, and make the folder a virtual environment.

    This comes after the packages, so that no package is written through a link to the interpreter.
    """
    python = getattr(sys, "_base_executable", "") or sys.executable
    try:
        os.symlink(python, os.path.join(venv, "bin", "python"))
        for name in ("python3", "python" + VERSION):
            os.symlink("python", os.path.join(venv, "bin", name))
        with open(os.path.join(venv, "pyvenv.cfg"), "x", encoding="utf-8") as config:
            config.write(f"home = {os.path.dirname(python)}\ninclude-system-site-packages = false\n")
            config.write("version = {}.{}.{}\nprompt = {}\n".format(*sys.version_info[:3], app))
    except FileExistsError as error:
        path = os.path.relpath(error.filename2 or error.filename, venv)
        raise RefusedError(f"a package contains venv/{path}, which belongs to the interpreter") from None

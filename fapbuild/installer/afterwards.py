"""Runs the app's own commands after the install, such as `python manage.py check`."""

import os
import shlex
import subprocess
import sys

from refusal import RefusedError


def run(root, venv, commands):
    """Run each command with `sh -e -c` in the release's folder, with the venv first on the PATH.

    Raises RefusedError when one fails; the rest are not run.
    The commands get no configuration, and .env is not read: an install is the same on every stage.
    """
    for command in commands:
        print(f"post_install: {command}")
        sys.stdout.flush()
        environment = {
            **os.environ,
            "PATH": f"{venv}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": venv,
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        done = subprocess.run(
            ["sh", "-e", "-c", command], cwd=root, env=environment, stdin=subprocess.DEVNULL, check=False
        )
        if done.returncode != 0:
            raise RefusedError(
                f"post_install failed with exit code {done.returncode}: {command}\n"
                f"  to try it: cd {shlex.quote(root)} && PATH=$PWD/venv/bin:$PATH && {command}"
            )

"""The suite gives the same results in a background job, under nohup, and with odd variables."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.repository import ROOT

SEEN = """\
import json, os, signal
ignored = [number.name for number in signal.Signals if signal.getsignal(number) == signal.SIG_IGN]
print(json.dumps({"ignored": ignored, "umask": os.umask(0), "variables": dict(os.environ)}))
"""
TESTS = """\
import subprocess, sys
import tests.conftest
subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""
SHELL = ["sh", "-c", 'trap "" HUP INT QUIT TERM TSTP; umask 077; exec "$@"', "sh"]
ODD = {
    "AWS_PROFILE": "other",
    "CI": "true",
    "COLUMNS": "20",
    "FAP_WHO": "eve",
    "GIT_DIR": "/nowhere",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "POSIX",
    "PYTHONDONTWRITEBYTECODE": "1",
    "SSH_AUTH_SOCK": "/nowhere",
    "TZ": "Asia/Kolkata",
    "no_proxy": "",
}


def seen(program: str, *argv: str, shell: list[str], **odd: str) -> dict[str, object]:
    """What a program sees of its caller: ignored signals, umask and variables."""
    done = subprocess.run(
        [*shell, sys.executable, "-c", program, *argv],
        cwd=ROOT,
        env={**os.environ, **odd},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_what_tests_start_sees_nothing_of_an_odd_caller() -> None:
    calm = seen(TESTS, SEEN, shell=[])
    assert seen(TESTS, SEEN, shell=SHELL, **ODD) == calm
    assert calm["ignored"] == ["SIGPIPE", "SIGXFSZ"]  # by the Python that looks
    assert calm["umask"] == 0o022


def test_an_odd_caller_would_be_seen() -> None:
    found = seen(SEEN, shell=SHELL, **ODD)
    ignored, variables = found["ignored"], found["variables"]
    assert isinstance(ignored, list)
    assert isinstance(variables, dict)
    assert {"SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTSTP"} <= {*ignored}
    assert found["umask"] == 0o077
    assert ODD.items() <= variables.items()


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [["sh", "-c", '"$@" & wait "$!"', "sh"], ["nohup"]], ids=["background job", "nohup"]
)
def test_tests_of_signals_pass_where_the_shell_ignores_signals(how: list[str], tmp_path: Path) -> None:
    chosen = ["tests/release/run/test_faults.py", "-k", "ctrl_c or terminal"]
    pytest_ = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n1",
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path}/base",
    ]
    done = subprocess.run([*how, *pytest_, *chosen], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout

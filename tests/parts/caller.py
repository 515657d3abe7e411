"""Hides from the tests what differs between the people and machines that start them."""

import os
import signal
import tempfile
from pathlib import Path

_KEPT = {"FAP_TEST_IN_FULL"}
_PREFIXES = (
    *("AWS_", "CLICOLOR", "FAP_", "GIT_", "LC_", "PYTHON", "SSH_"),
    *("BUILDKITE", "BUILD_", "CIRCLE", "CI_", "GITHUB_", "GITLAB_", "JENKINS_", "SYSTEM_"),
)
_NAMES = {
    *("CI", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "NODE_ENV", "SOURCE_DATE_EPOCH", "VIRTUAL_ENV"),
    *("BASH_ENV", "CDPATH", "ENV", "LANGUAGE", "POSIXLY_CORRECT", "TZ"),
    *("COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR"),
}
_LOOPBACK = "127.0.0.1,localhost"
_SET = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "LANG": "C.UTF-8",
    # A proxy may lead to the package index; the servers of the tests are on this machine.
    "NO_PROXY": _LOOPBACK,
    "no_proxy": _LOOPBACK,
    # The logs of the tests' releases do not belong to the person who runs them.
    "XDG_STATE_HOME": str(Path(tempfile.gettempdir()) / "fapkit-tests-state"),
}
# Python itself ignores these, and gives them back to the programs that it starts.
_PYTHONS = {signal.SIGPIPE, signal.SIGXFSZ}


def hide_caller() -> None:
    """Set variables, signals and umask of this process to what the programs that tests start expect."""
    for name in [name for name in os.environ if name.startswith(_PREFIXES) or name in _NAMES]:
        if name not in _KEPT:
            del os.environ[name]
    os.environ.update(_SET)
    os.umask(0o022)
    # A shell starts its background jobs with SIGINT and SIGQUIT ignored, nohup all with SIGHUP, and programs
    # inherit that. What has a handler, though it does nothing, has its default again in the programs started.
    for number in signal.valid_signals() - _PYTHONS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)

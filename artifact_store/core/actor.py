"""Who acts, and in which CI run: what records and log entries say about their writer."""

import getpass
import os
import socket
from collections.abc import Mapping


def who(environ: Mapping[str, str] = os.environ) -> str:
    """FAP_WHO, else user@host."""
    if named := environ.get("FAP_WHO", "").strip():
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def ci_run(environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the GitHub Actions run we are in, or empty.

    The three variables are GitHub's: docs.github.com, "Variables reference".
    """
    parts = [environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    if not all(parts):
        return ""
    server, repository, run = parts
    return f"{server}/{repository}/actions/runs/{run}"

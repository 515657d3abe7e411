"""What went wrong in pip, told from its own report: the line to type depends on it. Pure."""

import re

from packaging.utils import canonicalize_name

_MISSING_FILE = re.compile(r"Could not open (constraint|requirements) file: .*?'([^']+)'")
_NO_MATCH = re.compile(
    r"No matching distribution found for ([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*==\s*([^\s;]+)"
)
_NO_ANSWER = re.compile(
    r"NewConnectionError|ConnectTimeout|Read ?[Tt]ime|Max retries|NameResolution|ProxyError|SSLError|"
    r"RemoteDisconnected|Connection reset|Connection refused|timed out"
)
_HOST = re.compile(r"host='([^']+)'|https?://([^/\s:'\"]+)")
_DENIED = re.compile(r"\b(401|403) (?:Error|Client Error)[^\n]*?(?:https?://([^/\s]+))?")
_BUILD = re.compile(
    r"Failed to build|Failed building wheel for|Getting requirements to build wheel|"
    r"metadata-generation-failed|subprocess-exited-with-error"
)


def unanswered(line: str) -> str:
    """The host that a line of pip says it tries again; empty for another line."""
    if "Retrying (Retry(" not in line:
        return ""
    return _host(line) or "an index"


def hint(output: str, python: str) -> str:
    """The line to type for a failure of pip whose output this is, with the Python release `python`."""
    if match := _MISSING_FILE.search(output):
        return f"{match[2]} does not exist: see PIP_CONSTRAINT and pip's configuration (pip config debug)"
    if "DO NOT MATCH THE HASHES" in output:
        return (
            "the index has other bytes than the lock: find out why, then lock again: fapbuild lock --upgrade"
        )
    wanted = _NO_MATCH.search(output)
    if wanted and (needed := _needed_python(output, wanted[2])):
        return (
            f"{canonicalize_name(wanted[1])} {wanted[2]} needs Python {needed}, and this is {python}: "
            "pack with such a Python, or lock again with this one"
        )
    if silent := _silent(output):
        return f"{silent} does not answer: check the network, the proxy and the index's URL"
    if match := _DENIED.search(output):
        where = f"{match[2]} " if match[2] else "the index "
        return f"{where}wants another login (HTTP {match[1]}): pip reads it from ~/.netrc or a keyring"
    if "requires a different Python" in output:
        return f"pack with a Python that fits; this is {python}"
    if wanted:
        return (
            f"no index that pip asked has {canonicalize_name(wanted[1])} {wanted[2]}: if it was removed, run "
            "`fapbuild lock`; if another index has it, name that: PIP_EXTRA_INDEX_URL=URL"
        )
    if "No space left on device" in output:
        return "free some space, or set TMPDIR to a folder on another disk"
    if _BUILD.search(output):
        return (
            "a package can't be built here: install what its output names (a compiler, headers), limit what "
            "it is built with (build_constraints), or pin a version with a wheel"
        )
    return "see what pip says above"


def _silent(output: str) -> str:
    """The host of the first line that says that there was no answer; empty if there is none."""
    return next(filter(None, (_host(line) for line in output.splitlines() if _NO_ANSWER.search(line))), "")


def _host(line: str) -> str:
    match = _HOST.search(line)
    return (match[1] or match[2]) if match else ""


def _needed_python(output: str, version: str) -> str:
    match = re.search(rf"(?:^|[\s;:]){re.escape(version)} Requires-Python ([^;\n]+)", output)
    return match[1].strip() if match else ""

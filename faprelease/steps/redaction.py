"""Redaction of secrets. Resolved values stay redacted until the process ends."""

import json
import shlex
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 6
"""The length of the shortest secret that is redacted; a shorter one would hide too much of the output."""
_known: set[str] = set()


def remember(values: Iterable[str]) -> None:
    """Make `redact` hide these values from now on."""
    _known.update(forms(values))


def forms(values: Iterable[str]) -> tuple[str, ...]:
    """The forms in which values may appear in output: unchanged, line by line, and as written by a shell,
    JSON, Python or a URL."""
    result: dict[str, None] = {}
    for value in values:
        for part in (value, *value.splitlines()):
            quoted = (part, shlex.quote(part), json.dumps(part)[1:-1], repr(str(part))[1:-1])
            escaped = quote(part, safe="", errors="replace")
            result |= dict.fromkeys(form for form in (*quoted, escaped) if len(form) >= SHORTEST <= len(part))
    return tuple(result)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without these secrets and the remembered values; the longest are replaced first."""
    for secret in sorted({*_known, *filter(None, secrets)}, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, "***")
    return text

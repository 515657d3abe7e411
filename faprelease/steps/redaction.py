"""What no output may show: values that were asked for once stay hidden for the rest of the process."""

import json
import shlex
from collections.abc import Iterable
from urllib.parse import quote

SHORTEST = 6
"""A shorter value would blot out half of every output, and keeps no secret."""
_known: set[str] = set()


def remember(values: Iterable[str]) -> None:
    """From now on, `redact` hides these too."""
    _known.update(forms(values))


def forms(values: Iterable[str]) -> tuple[str, ...]:
    """How values may look in an output: as they are, line by line, and as a shell, JSON, Python or a URL
    writes them."""
    found: dict[str, None] = {}
    for value in values:
        for part in (value, *value.splitlines()):
            written = (part, shlex.quote(part), json.dumps(part)[1:-1], repr(str(part))[1:-1])
            escaped = quote(part, safe="", errors="replace")
            found |= dict.fromkeys(each for each in (*written, escaped) if len(each) >= SHORTEST <= len(part))
    return tuple(found)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without the secrets, and without what `remember` was told; the longest go first."""
    for secret in sorted({*_known, *filter(None, secrets)}, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, "***")
    return text

"""Searches the text of files for secrets: by the patterns of detect-secrets, and by our own."""

import functools
import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from fapbuild.cache import Cache
from fapbuild.guards import secret_forms, secret_text
from fapbuild.guards.secret_rules import FORMS, PUBLIC, TOKENS

_BATCH = 32
_KIND = "secrets-4"
_WHOLE = 16
"""The fewest letters of a secret, rather than of a prefix."""
_PATTERNS = "secret-patterns-1"

# The plugins of detect-secrets that recognise a kind by its form. Left out are those that guess (entropy,
# words like "password", any URL with a password: tests and manuals are full of them), and those that take
# longer than all others together for clouds that hardly anyone uses.
PLUGINS = (
    "AWSKeyDetector",
    "AzureStorageKeyDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "GitLabTokenDetector",
    "JwtTokenDetector",
    "MailchimpDetector",
    "NpmDetector",
    "OpenAIDetector",
    "PrivateKeyDetector",
    "PypiTokenDetector",
    "SendGridDetector",
    "SlackDetector",
    "SquareOAuthDetector",
    "StripeDetector",
    "TelegramBotTokenDetector",
    "TwilioKeyDetector",
)


class SecretFinding(msgspec.Struct, frozen=True, order=True):
    """A place that looks like a secret, without its text."""

    path: str
    line: int
    kind: str


@dataclass(frozen=True)
class ScannedFile:
    """A file to search: its name in the project, its place, and a digest of its content."""

    path: str
    place: Path
    digest: str


def scan(texts: Iterable[ScannedFile], cache: Cache) -> tuple[SecretFinding, ...]:
    """Return everything that looks like a secret in these files; binary and huge files are skipped.

    Lines with detect-secrets' own mark (`pragma: allowlist secret`) are left out. Results are cached for
    about thirty files each, so the next build searches only files near a change.
    """
    secrets: list[SecretFinding] = []
    for batch in _batches(sorted(texts, key=lambda text: text.path)):
        question = repr((_scanner(), [(text.path, text.digest) for text in batch]))
        verdict, _ = cache.remember(_KIND, question, lambda batch=batch: _search(batch, cache))  # type: ignore[misc]
        secrets += msgspec.json.decode(verdict, type=list[SecretFinding])
    return tuple(secrets)


def suspicious(paths: Iterable[str], folder: Path, cache: Cache) -> tuple[str, ...]:
    """Those of the files in a folder whose text looks like a secret."""
    places = ((path, folder / path) for path in paths)
    files = [
        ScannedFile(path, place, hashlib.sha256(place.read_bytes()).hexdigest())
        for path, place in places
        if place.is_file()
    ]
    return tuple(dict.fromkeys(finding.path for finding in scan(files, cache)))


def _batches(texts: Sequence[ScannedFile]) -> Iterator[list[ScannedFile]]:
    """Divide the files into runs, by a rule for each path alone, so that a change moves no other border."""
    batch: list[ScannedFile] = []
    for text in texts:
        batch.append(text)
        if hashlib.sha256(text.path.encode("utf-8")).digest()[0] < 256 // _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@functools.cache
def _scanner() -> str:
    rules = hashlib.sha256(repr((TOKENS, FORMS, PUBLIC)).encode("utf-8")).hexdigest()
    return f"detect-secrets {metadata.version('detect-secrets')} {' '.join(PLUGINS)} {rules}"


def _search(batch: Sequence[ScannedFile], cache: Cache) -> bytes:
    patterns = _patterns(cache)
    secrets: dict[tuple[str, int], str] = {}
    suspects = []
    for file in batch:
        for text in secret_text.texts(file.place):
            # detect-secrets takes 8 ms a text, so it gets only those in which one of its patterns occurs.
            if any(pattern.search(text) for pattern in patterns):
                suspects.append((file.path, text))
            secrets |= {(file.path, line): kind for line, kind in secret_forms.find(text, file.path)}
    secrets |= _confirmed(suspects) if suspects else {}
    return msgspec.json.encode(sorted(SecretFinding(*where, kind) for where, kind in secrets.items()))


def _patterns(cache: Cache) -> list[re.Pattern[str]]:
    """The patterns of the plugins, cached: to import the plugins takes as long as a small pack."""
    data, _ = cache.remember(_PATTERNS, _scanner(), lambda: msgspec.json.encode(_plugin_patterns()))
    return [re.compile(text, flags) for text, flags in msgspec.json.decode(data, type=list[tuple[str, int]])]


def _plugin_patterns() -> list[tuple[str, int]]:
    from detect_secrets.core.plugins.initialize import from_plugin_classname

    with _only_our_plugins():
        plugins: list[Any] = [from_plugin_classname(name) for name in PLUGINS]
    return [(pattern.pattern, pattern.flags) for plugin in plugins for pattern in plugin.denylist]


def _confirmed(suspects: Sequence[tuple[str, str]]) -> dict[tuple[str, int], str]:
    """The kinds of secrets that detect-secrets finds in these texts, by path and line."""
    from detect_secrets.core.scan import scan_file
    from detect_secrets.util.filetype import FileType, determine_file_type

    secrets: dict[tuple[str, int], str] = {}
    with _only_our_plugins(), tempfile.TemporaryDirectory(prefix="fapbuild-") as folder:
        for path, text in suspects:
            # A mark that allows a line depends on the type of the file, and some types are left out.
            known = determine_file_type(path) is not FileType.OTHER
            copy = Path(folder) / (Path(path).name if known else "text")
            copy.write_text(text, encoding="utf-8", errors="replace", newline="")
            secrets |= {
                (path, secret.line_number): secret.type
                for secret in scan_file(str(copy))
                if not _is_placeholder(secret.secret_value or "") and not _in_data(secret.secret_value, text)
            }
    return secrets


def _is_placeholder(value: str) -> bool:
    """Whether a secret of detect-secrets stands for one; of some it gives only the prefix."""
    return len(value) >= _WHOLE and secret_forms.is_placeholder(value)


def _in_data(value: str | None, text: str) -> bool:
    """Whether a secret of detect-secrets is part of a long word in Base64, such as a font."""
    if not value or len(value) < _WHOLE:
        return False
    words = (match[0] for match in secret_forms.DATA.finditer(text))
    return any(value in word for word in words) and not re.search(
        rf"(?<![0-9A-Za-z+/]){re.escape(value)}(?![0-9A-Za-z+/])", text
    )


def _only_our_plugins() -> AbstractContextManager[Any]:
    from detect_secrets.settings import transient_settings

    settings: AbstractContextManager[Any] = transient_settings(
        {"plugins_used": [{"name": name} for name in PLUGINS]}
    )
    return settings

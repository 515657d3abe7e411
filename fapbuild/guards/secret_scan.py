"""Secrets in the text of files, by detect-secrets' knowledge of what keys and tokens look like."""

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

from fapbuild.cache import Cache

LARGEST = 8 * 1024 * 1024
"""Files over this many bytes are data, and not read."""
_TEXT = 8192
_BATCH = 32
_KIND = "secrets-1"
_PATTERNS = "secret-patterns-1"

# Of detect-secrets' plugins, those that know a kind by its form. Left out are those that guess (entropy,
# words like "password", any URL with a password: tests and manuals are full of them) or that cost more
# than all others together for clouds that hardly anyone has.
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


class Found(msgspec.Struct, frozen=True, order=True):
    """What looks like a secret; its text is not kept."""

    path: str
    line: int
    kind: str


@dataclass(frozen=True)
class Text:
    """A file to look into: its name in the project, where it is, and a digest of its content."""

    path: str
    place: Path
    digest: str


def scan(texts: Iterable[Text], cache: Cache) -> tuple[Found, ...]:
    """What looks like a secret in these files; binary and huge ones are skipped.

    A line with detect-secrets' own mark (`pragma: allowlist secret`) is no secret. Verdicts are kept in the
    cache, by some thirty files each, so that the next build looks again only where something changed.
    """
    found: list[Found] = []
    for batch in _batches(sorted(texts, key=lambda text: text.path)):
        question = repr((_scanner(), [(text.path, text.digest) for text in batch]))
        verdict, _ = cache.remember(_KIND, question, lambda batch=batch: _look_into(batch, cache))  # type: ignore[misc]
        found += msgspec.json.decode(verdict, type=list[Found])
    return tuple(found)


def _batches(texts: Sequence[Text]) -> Iterator[list[Text]]:
    """Runs of files, cut by a rule that looks at one path alone: a change moves no other cut."""
    batch: list[Text] = []
    for text in texts:
        batch.append(text)
        if hashlib.sha256(text.path.encode("utf-8")).digest()[0] < 256 // _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@functools.cache
def _scanner() -> str:
    return f"detect-secrets {metadata.version('detect-secrets')} {' '.join(PLUGINS)} {LARGEST}"


def _look_into(batch: Sequence[Text], cache: Cache) -> bytes:
    patterns = _patterns(cache)
    # scan_file takes 8 ms a file: only what one of its patterns is in gets that far
    suspects = [one for one in batch if (text := _text(one.place)) and any(p.search(text) for p in patterns)]
    return msgspec.json.encode(sorted(_confirmed(suspects)) if suspects else [])


def _patterns(cache: Cache) -> list[re.Pattern[str]]:
    """What the plugins search for, kept, as importing them takes as long as all else of a small pack."""
    kept, _ = cache.remember(_PATTERNS, _scanner(), lambda: msgspec.json.encode(_of_plugins()))
    return [re.compile(text, flags) for text, flags in msgspec.json.decode(kept, type=list[tuple[str, int]])]


def _of_plugins() -> list[tuple[str, int]]:
    from detect_secrets.core.plugins.initialize import from_plugin_classname

    with _only_our_plugins():
        plugins: list[Any] = [from_plugin_classname(name) for name in PLUGINS]
    return [(pattern.pattern, pattern.flags) for plugin in plugins for pattern in plugin.denylist]


def _confirmed(suspects: Sequence[Text]) -> set[Found]:
    from detect_secrets.core.scan import scan_file

    with _only_our_plugins():
        return {
            Found(one.path, secret.line_number, secret.type)
            for one in suspects
            for secret in scan_file(str(one.place))
        }


def _only_our_plugins() -> AbstractContextManager[Any]:
    from detect_secrets.settings import transient_settings

    settings: AbstractContextManager[Any] = transient_settings(
        {"plugins_used": [{"name": name} for name in PLUGINS]}
    )
    return settings


def _text(place: Path) -> str:
    with place.open("rb") as file:
        start = file.read(_TEXT)
        if b"\0" in start:
            return ""
        data = start + file.read(LARGEST)
    return data.decode("utf-8", "replace") if len(data) <= LARGEST else ""

"""Secrets in the text of files, by detect-secrets' knowledge of what keys and tokens look like."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST = 8 * 1024 * 1024
"""Files over this many bytes are data, and not read."""
_TEXT = 8192

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


@dataclass(frozen=True)
class Found:
    """What looks like a secret; its text is not kept."""

    path: str
    line: int
    kind: str


def scan(files: Iterable[tuple[str, Path]]) -> tuple[Found, ...]:
    """What looks like a secret in these files, given as name and place; binary and huge ones are skipped.

    A line with detect-secrets' own mark (`pragma: allowlist secret`) is no secret.
    """
    from detect_secrets.core.plugins.initialize import from_plugin_classname
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import transient_settings

    with transient_settings({"plugins_used": [{"name": name} for name in PLUGINS]}):
        plugins: list[Any] = [from_plugin_classname(name) for name in PLUGINS]
        patterns = [pattern for plugin in plugins for pattern in plugin.denylist]
        found = []
        for name, place in files:
            # scan_file takes 8 ms a file: only what one of its patterns is in gets that far
            text = _text(place)
            if any(pattern.search(text) for pattern in patterns):
                found += [Found(name, secret.line_number, secret.type) for secret in scan_file(str(place))]
    return tuple(sorted(set(found), key=lambda one: (one.path, one.line, one.kind)))


def _text(place: Path) -> str:
    with place.open("rb") as file:
        start = file.read(_TEXT)
        if b"\0" in start:
            return ""
        data = start + file.read(LARGEST)
    return data.decode("utf-8", "replace") if len(data) <= LARGEST else ""

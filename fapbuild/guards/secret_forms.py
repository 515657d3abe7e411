"""Finds secrets by the forms of `secret_rules`, and logins in URLs and files of credentials."""

import base64
import binascii
import functools
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote

from fapbuild.guards.secret_rules import FORMS, PLACEHOLDERS, PUBLIC, TOKENS

ALLOWED = "pragma: allowlist secret"
"""detect-secrets' own mark for a line that may stay."""
DATA = re.compile(r"[0-9A-Za-z+/]{1000,}")
"""A word in Base64 that is longer than any key: a font or a picture."""
_LONG_WORD = re.compile(r"[0-9A-Za-z_.+/$-]{22,}")
"""Every token is such a word, or ends with one. To look for prefixes in these alone saves time."""
_URL_LOGIN = re.compile(
    r"://([^\s/:@'\"`<>(){}\[\]|\\]{0,64}):([^\s/@'\"`<>|\\]{1,200})@([\w.-]+|\[[0-9a-f:]+\])"
)
_NETRC = re.compile(r"\bmachine\s+(\S+)\s+login\s+(\S+)\s+password\s+(\S+)")
_DOCKER_LOGIN = re.compile(r"\"auth\"\s*:\s*\"([0-9A-Za-z+/]{6,}=*)\"")
_BASIC = re.compile(r"Authorization[\"']?\s*[:=,]\s*[\"']?Basic ([0-9A-Za-z+/]{6,}=*)")
_TEMPLATE = re.compile(r"\$[A-Za-z_{(]|%\(|%s|[{}<>]|\*\*|\.\.\.|…")
_EXAMPLE = re.compile(
    r"example|placeholder|redacted|x{6}|changeme|change[-_]me|not[-_]a[-_]secret", re.IGNORECASE
)
_WORDS = "|".join(sorted(PLACEHOLDERS.split(), key=len, reverse=True))
_STANDS_FOR = re.compile(rf"(?:(?>{_WORDS})[-_.!@ ]?)*+[0-9]{{0,4}}!?", re.IGNORECASE)
"""Words that stand for a password, maybe with a number. Atomic, so that no password takes long."""
_CONSTANT = re.compile(r"[A-Z]+(?:_[A-Z]+)+")
_NEARBY = re.compile(
    r"localhost|127\.|0\.0\.0\.0|\[?::1|host$|hostname$|(?:.*\.)?(?:example|test|invalid)(?:\.|$)"
)
_TELLING = {
    "doc",
    "docs",
    "test",
    "tests",
    "testing",
    "testdata",
    "example",
    "examples",
    "samples",
    "fixtures",
}
_TELLING_NAMES = re.compile(
    r"(?:test_.*|.*_tests?|conftest)\.py|.*\.(?:md|rst|txt|test\.[jt]sx?|spec\.[jt]sx?)|README.*"
)
_FEW = 3
_LONG = 8


def find(text: str, path: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the kind of each secret in a text; `path` says whether it is a test or a page.

    Lines with the mark `ALLOWED` are left out.
    """
    for start, kind in (*_tokens(text), *_logins(text, path)):
        begin, end = text.rfind("\n", 0, start) + 1, text.find("\n", start)
        if ALLOWED not in text[begin : end if end >= 0 else None]:
            yield text.count("\n", 0, start) + 1, kind


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    long_words = "\n".join(_LONG_WORD.findall(text))
    data = [match.span() for match in DATA.finditer(text)]
    for kind, prefix, rest in TOKENS:
        if prefix in long_words:
            pattern = _compiled(f"{re.escape(prefix)}({rest})(?![0-9A-Za-z])")
            for match in pattern.finditer(text) if pattern.search(long_words) else ():
                inside = text[match.start() - 1 : match.start()].isalnum()
                inside |= any(start < match.start() < end for start, end in data)
                if not inside and match[0] not in PUBLIC and not is_placeholder(match[1]):
                    yield match.start(), kind
    for kind, word, form in FORMS:
        if word in text:
            for match in _compiled(form).finditer(text):
                if not is_placeholder(match[1]):
                    yield match.start(1), kind


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _logins(text: str, path: str) -> Iterator[tuple[int, str]]:
    lenient = _is_test_or_page(path)
    if "://" in text and "@" in text:
        for match in _URL_LOGIN.finditer(text):
            if _is_password(match[2], match[1], match[3], lenient=lenient):
                yield match.start(), "password in a URL"
    if "machine" in text and "password" in text:
        for match in _NETRC.finditer(text):
            if _is_password(match[3], match[2], match[1], lenient=lenient):
                yield match.start(), "login of a netrc"
    if '"auths"' in text:
        yield from _encoded(_DOCKER_LOGIN, text, "login of a container registry", lenient=lenient)
    if "Basic " in text:
        yield from _encoded(_BASIC, text, "login in a header", lenient=lenient)


def _encoded(pattern: re.Pattern[str], text: str, kind: str, *, lenient: bool) -> Iterator[tuple[int, str]]:
    for match in pattern.finditer(text):
        try:
            user, _, password = base64.b64decode(match[1], validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            continue
        if _is_password(password, user, "", lenient=lenient):
            yield match.start(), kind


def _is_password(password: str, user: str, host: str, *, lenient: bool) -> bool:
    """Whether this may be a real password: a strong one, or any for another machine.

    In tests and on pages (`lenient`) only strong ones for another machine are real.
    """
    password, user = unquote(password), unquote(user)
    if not password or password == user or _TEMPLATE.search(password) or _TEMPLATE.search(user):
        return False
    if _STANDS_FOR.fullmatch(password) or _CONSTANT.fullmatch(password) or is_placeholder(password):
        return False
    strong, elsewhere = _is_strong(password), not _NEARBY.match(host.lower())
    return strong and elsewhere if lenient else strong or elsewhere


def is_placeholder(secret: str) -> bool:
    """Whether a text only stands for a secret: of very few letters, or one that calls itself an example."""
    return len({*secret}) <= _FEW or _EXAMPLE.search(secret) is not None


def _is_strong(password: str) -> bool:
    kinds = sum(any(test(letter) for letter in password) for test in (str.isdigit, str.islower, str.isupper))
    return len(password) >= _LONG and kinds >= 2


def _is_test_or_page(path: str) -> bool:
    place = PurePosixPath(path)
    return not _TELLING.isdisjoint(place.parts[:-1]) or _TELLING_NAMES.fullmatch(place.name) is not None

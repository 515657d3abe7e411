"""The keys of a server in known_hosts files (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT)."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Literal

Verdict = Literal["known", "unknown", "changed", "revoked"]


@dataclass(frozen=True)
class Line:
    """One line of a file: the names of a server, its key, and `@revoked` or `@cert-authority`."""

    file: Path
    marker: str
    names: str
    kind: str
    key: str
    """In base64."""


@dataclass(frozen=True)
class Known:
    """The lines for one server."""

    keys: tuple[Line, ...] = ()
    revoked: frozenset[str] = frozenset()
    authorities: tuple[Line, ...] = ()

    @property
    def file(self) -> Path | None:
        """The file with the first line for it; None if there is no line."""
        return next((line.file for line in self.keys), None)

    def judge(self, key: str) -> Verdict:
        """Compare the server's key, in base64, with the known ones."""
        if key in self.revoked:
            return "revoked"
        if any(line.key == key for line in self.keys):
            return "known"
        return "changed" if self.keys else "unknown"


def look_up(files: Iterable[Path], name: str) -> Known:
    """Return the lines for `name`, which is `[host]:port` unless the port is 22.

    Missing files, and lines that can't be read, are skipped.
    """
    name = name.lower()
    lines = [line for file in files for line in _lines_about(file, name)]
    return Known(
        keys=tuple(line for line in lines if not line.marker),
        revoked=frozenset(line.key for line in lines if line.marker == "@revoked"),
        authorities=tuple(line for line in lines if line.marker == "@cert-authority"),
    )


def name_of(host: str, port: int) -> str:
    """The name of a server in known_hosts: `host`, or `[host]:port`."""
    return host if port == 22 else f"[{host}]:{port}"


def fingerprint(key: bytes) -> str:
    """The fingerprint of a key, as ssh-keygen -l shows it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _lines_about(file: Path, name: str) -> list[Line]:
    try:
        status = file.stat()
        plain, others = _read(file, status.st_mtime_ns, status.st_size)
    except OSError:
        return []
    return [*plain.get(name, ()), *(line for line in others if _is_about(line.names, name))]


@lru_cache(maxsize=16)
def _read(file: Path, _changed: int, _size: int) -> tuple[dict[str, list[Line]], list[Line]]:
    """The lines with plain names, by name, and the lines with patterns; cached for all hosts."""
    plain: dict[str, list[Line]] = {}
    others = []
    for line in _parse(file, file.read_text(errors="replace")):
        if set("|*?!").isdisjoint(line.names):
            for name in line.names.lower().split(","):
                plain.setdefault(name, []).append(line)
        else:
            others.append(line)
    return plain, others


def _parse(file: Path, text: str) -> Iterator[Line]:
    for line in text.splitlines():
        words = line.split()
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#"):
            yield Line(file, marker, words[0], words[1], words[2])


def _is_about(names: str, name: str) -> bool:
    matched = False
    for pattern in names.split(","):
        if pattern.startswith("!") and _matches(pattern[1:], name):
            return False
        matched = matched or _matches(pattern, name)
    return matched


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("|1|"):
        try:
            salt, digest = (base64.b64decode(part, validate=True) for part in pattern[3:].split("|"))
        except ValueError:
            return False
        return hmac.compare_digest(hmac.digest(salt, name.encode(), "sha1"), digest)
    if "*" in pattern or "?" in pattern:
        # The only wildcards are * and ?; the brackets of [host]:port are themselves.
        return re.fullmatch(translate(pattern.replace("[", "[[]")), name, re.IGNORECASE) is not None
    return pattern.lower() == name

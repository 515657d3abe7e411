"""The pins of a lock, whatever its format."""

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from artifact_store.core.errors import UsageError

_COMMIT = re.compile(r"@([0-9a-f]{40}|[0-9a-f]{64})$")
_SCP_LIKE = re.compile(r"([^/@:\s]+@)([^/:\s]+):(?!/)(\S+)")
_PLACEHOLDER = re.compile(r"\$\{[A-Z0-9_]+\}")


@dataclass(frozen=True, order=True)
class Origin:
    """The origin of a package that no index has: one of the two fields is set."""

    reference: str = ""
    """`git+https://host/x@<commit>#subdirectory=y`, or `https://host/x-1.0.tar.gz` (PEP 508)."""
    path: str = ""
    """A folder or file of the same repository, relative to the project's folder: `../libs/shared`."""

    def __str__(self) -> str:
        return self.reference or self.path


@dataclass(frozen=True, order=True)
class Pin:
    """One locked package; `sha256s` are the files that may be used for it.

    With an `origin` the version may be empty: only the built wheel knows it.
    """

    name: str
    version: str
    extras: frozenset[str]
    sha256s: frozenset[str]
    origin: Origin | None = None
    indexes: tuple[str, ...] = ()
    """Simple indexes (PEP 503) that the lock names, for pip to search besides its own."""
    index: str = ""
    """The only index that the lock allows for it; empty for those of pip's configuration."""
    find_links: tuple[str, ...] = ()
    """Folders and URLs that the lock names, where pip looks for its files."""

    def __str__(self) -> str:
        return f"{self.name} @ {self.origin}" if self.origin else f"{self.name}=={self.version}"


def git_reference(url: str, commit: str, subdirectory: str, where: str) -> Origin:
    """Return the origin of a git repository at one commit.

    Raises UsageError if `commit` is not a full commit, or the URL holds a secret.
    """
    if match := _SCP_LIKE.fullmatch(url):
        url = f"ssh://{match[1]}{match[2]}/{match[3]}"
    bare = f"git+{url.removeprefix('git+')}"
    check_secret(bare, where)
    if not _COMMIT.fullmatch(f"@{commit}"):
        raise UsageError(
            f"{where}: {bare} is not pinned to a commit (40 hexadecimal digits)",
            hint="`fapbuild lock` writes the commit that a branch or tag names now",
        )
    return Origin(f"{bare}@{commit}" + (f"#subdirectory={subdirectory}" if subdirectory else ""))


def check_secret(url: str, where: str) -> None:
    """Raise UsageError if the URL holds a password or token; `${NAME}`, which pip fills in, is allowed."""
    try:
        parts = urlsplit(url)
        user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    except ValueError as error:
        raise UsageError(f"{where}: a URL is not valid: {error}") from error
    is_login = parts.scheme.endswith("ssh") and not password
    if is_login or not _PLACEHOLDER.sub("", user + password):
        return
    raise UsageError(
        f"{where}: the URL of {parts.hostname} contains a user or password, and everyone can read a lock",
        hint="remove it: pip reads logins from ~/.netrc, a keyring or PIP_EXTRA_INDEX_URL, git from ~/.netrc",
    )


def sorted_pins(pins: list[Pin], name: str, hint: str) -> tuple[Pin, ...]:
    """Sort the pins by name; raise UsageError if one package is pinned more than once.

    The same files twice, with other extras, are one pin with all extras: Poetry exports them so.
    """
    by_name: dict[str, Pin] = {}
    for pin in pins:
        first = by_name.setdefault(pin.name, pin)
        if first is not pin and replace(first, extras=pin.extras) != pin:
            raise UsageError(f"{name} pins {pin.name} more than once", hint=hint)
        by_name[pin.name] = replace(first, extras=first.extras | pin.extras)
    return tuple(sorted(by_name.values(), key=lambda pin: pin.name))


def indexes(urls: list[str]) -> tuple[str, ...]:
    """The indexes that pip needs as options: all but PyPI, which it (or a mirror of it) searches anyway."""
    return tuple(dict.fromkeys(url for url in urls if urlsplit(url).hostname not in ("pypi.org", None)))


def normalized(name: str) -> str:
    """The name in the normal form of PEP 503."""
    return canonicalize_name(name)

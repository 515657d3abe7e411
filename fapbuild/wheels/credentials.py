"""Passwords of private package indexes, kept out of sight.

pip hands the URLs of its indexes to every pip that it starts, to install what a build needs, as arguments,
which all users of the machine can read. So passwords are moved from URLs into a netrc file that only this
user can read.
"""

import configparser
import contextlib
import importlib.util
import netrc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from artifact_store.core.errors import UsageError

_OPTIONS = {"index-url": "PIP_INDEX_URL", "extra-index-url": "PIP_EXTRA_INDEX_URL"}
_PROVIDER = "PIP_KEYRING_PROVIDER"


@dataclass(frozen=True)
class Login:
    """What one host is told."""

    host: str
    user: str
    password: str


@contextlib.contextmanager
def out_of_sight() -> Iterator[None]:
    """Until the end of the block, what this process starts finds the passwords of pip's indexes in NETRC.

    They are taken from PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and pip's configuration files. A keyring is asked
    as well, if there is one. Raises UsageError if one host is given two logins, as a netrc holds one.
    """
    variables = {**_configured(dict(os.environ)), **os.environ}
    changed, logins = split(variables)
    before = dict(os.environ)
    try:
        os.environ.update(_keyring(variables))
        with _netrc(changed, logins) if logins else contextlib.nullcontext():
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _netrc(changed: Mapping[str, str], logins: Sequence[Login]) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="fapbuild-") as folder:
        path = Path(folder) / "netrc"
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(_own_netrc(os.environ) + netrc_text(logins))
        os.environ.update(changed, NETRC=str(path))
        yield


def split(variables: Mapping[str, str]) -> tuple[dict[str, str], tuple[Login, ...]]:
    """The variables of pip's indexes without passwords, and those passwords."""
    changed: dict[str, str] = {}
    logins: dict[str, Login] = {}
    for name in _OPTIONS.values():
        found = []
        for url in variables.get(name, "").split():
            bare, login = _parted(url)
            found.append(bare)
            if login and logins.setdefault(login.host, login) != login:
                raise UsageError(
                    f"{login.host} is given two logins in {' and '.join(_OPTIONS.values())}",
                    hint="keep them in a keyring, which pip asks by URL: keyring set URL USER",
                )
        changed[name] = " ".join(found)
    return {name: value for name, value in changed.items() if value}, tuple(logins.values())


def _keyring(variables: Mapping[str, str]) -> dict[str, str]:
    """With --no-input pip asks a keyring only if it is told how (pip's documentation, "Authentication")."""
    if _PROVIDER in variables:
        return {}
    if importlib.util.find_spec("keyring"):
        return {_PROVIDER: "import"}
    return {_PROVIDER: "subprocess"} if shutil.which("keyring") else {}


def of_a_build() -> dict[str, str]:
    """What a pip needs that installs into another venv, where keyring can't be imported: it runs keyring."""
    if os.environ.get(_PROVIDER) != "import":
        return {}
    beside = str(Path(sys.executable).parent)
    return {_PROVIDER: "subprocess", "PATH": os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])}


def netrc_text(logins: Sequence[Login]) -> str:
    """A netrc(5) of these, quoted as Python's own reader, which pip uses, understands it."""
    return "".join(
        f"machine {login.host}\nlogin {_quoted(login.user)}\npassword {_quoted(login.password)}\n"
        for login in logins
    )


def _parted(url: str) -> tuple[str, Login | None]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return url, None
    if parts.password is None or not host:
        return url, None
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, Login(host, unquote(parts.username or ""), unquote(parts.password))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _own_netrc(environ: Mapping[str, str]) -> str:
    """The user's netrc, which the new one takes the place of; nothing if pip could not read it either."""
    path = Path(environ.get("NETRC") or Path(environ.get("HOME", "/")) / ".netrc")
    try:
        netrc.netrc(path)
        return path.read_text(encoding="utf-8").rstrip() + "\n"
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        return ""


def _configured(environ: Mapping[str, str]) -> dict[str, str]:
    """What pip's configuration files say of indexes, later files over earlier ones.

    Their places: https://pip.pypa.io/en/stable/topics/configuration/
    """
    parser = configparser.RawConfigParser()
    for path in _files(environ):
        with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
    found = {}
    for section in ("global", "download", "wheel", "install"):
        for option, variable in (*_OPTIONS.items(), ("keyring-provider", _PROVIDER)):
            if value := parser.get(section, option, fallback=""):
                found[variable] = " ".join(value.split())
    return found


def _files(environ: Mapping[str, str]) -> list[Path]:
    home = Path(environ.get("HOME", "/"))
    own = environ.get("PIP_CONFIG_FILE", "")
    if own == os.devnull:
        return []
    system = environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    return [
        *(Path(folder) / "pip" / "pip.conf" for folder in reversed(system.split(os.pathsep))),
        Path("/etc/pip.conf"),
        home / ".pip" / "pip.conf",
        Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf",
        Path(sys.prefix) / "pip.conf",
        *([Path(own)] if own else []),
    ]

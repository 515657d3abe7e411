"""Keeps passwords of private package indexes out of sight.

pip passes the URLs of its indexes as arguments to every pip that it starts for a build, and all users of the
machine can read arguments. So passwords are moved from URLs into a netrc file that only this user can read.
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
from artifact_store.core.folders import make_folder
from fapbuild.isolation import key_files
from fapbuild.locks.indexes import PYPI

_OPTIONS = {"index-url": "PIP_INDEX_URL", "extra-index-url": "PIP_EXTRA_INDEX_URL"}
_PROVIDER = "PIP_KEYRING_PROVIDER"


@dataclass(frozen=True)
class IndexLogin:
    """The login for one host."""

    host: str
    user: str
    password: str


@contextlib.contextmanager
def out_of_sight() -> Iterator[None]:
    """Until the end of the block, programs find the passwords of pip's indexes in the file NETRC.

    Passwords come from PIP_INDEX_URL, PIP_EXTRA_INDEX_URL and pip's configuration files. pip also asks a
    keyring, if there is one. Raises UsageError if a host has two logins, as a netrc holds one per host.
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
def _netrc(changed: Mapping[str, str], own: Sequence[IndexLogin]) -> Iterator[None]:
    logins = key_files.logins()
    make_folder(logins)
    with tempfile.TemporaryDirectory(dir=logins) as folder:
        path = Path(folder) / "netrc"
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(_own_netrc(os.environ) + netrc_text(own))
        os.environ.update(changed, NETRC=str(path))
        yield


def indexes() -> list[str]:
    """The indexes of pip's variables and configuration: the main one, which may be PyPI, and the others."""
    variables = {**_configured(dict(os.environ)), **os.environ}
    if variables.get("PIP_NO_INDEX"):
        return [PYPI]
    urls = [url for name in _OPTIONS.values() for url in variables.get(name, "").split()]
    return urls if variables.get("PIP_INDEX_URL") else [PYPI, *urls]


def split(variables: Mapping[str, str]) -> tuple[dict[str, str], tuple[IndexLogin, ...]]:
    """Return the variables of pip's indexes without passwords, and the logins taken out of them."""
    changed: dict[str, str] = {}
    logins: dict[str, IndexLogin] = {}
    for name in _OPTIONS.values():
        urls = []
        for url in variables.get(name, "").split():
            bare, login = _without_login(url)
            urls.append(bare)
            if login and logins.setdefault(login.host, login) != login:
                raise UsageError(
                    f"{login.host} has two logins in {' and '.join(_OPTIONS.values())}",
                    hint="store them in a keyring, which pip asks by URL: keyring set URL USER",
                )
        changed[name] = " ".join(urls)
    return {name: value for name, value in changed.items() if value}, tuple(logins.values())


def _keyring(variables: Mapping[str, str]) -> dict[str, str]:
    """The setting that makes pip ask a keyring despite --no-input (pip's documentation, "Authentication")."""
    if _PROVIDER in variables:
        return {}
    if importlib.util.find_spec("keyring"):
        return {_PROVIDER: "import"}
    return {_PROVIDER: "subprocess"} if shutil.which("keyring") else {}


def netrc_text(logins: Sequence[IndexLogin]) -> str:
    """The logins as a netrc(5), quoted for Python's own reader, which pip uses."""
    return "".join(
        f"machine {login.host}\nlogin {_quoted(login.user)}\npassword {_quoted(login.password)}\n"
        for login in logins
    )


def _without_login(url: str) -> tuple[str, IndexLogin | None]:
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return url, None
    if parts.password is None or not host:
        return url, None
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return bare, IndexLogin(host, unquote(parts.username or ""), unquote(parts.password))


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _own_netrc(environ: Mapping[str, str]) -> str:
    """The text of the user's netrc, which the new one replaces; empty if pip could not read it either."""
    path = Path(environ.get("NETRC") or Path(environ.get("HOME", "/")) / ".netrc")
    try:
        netrc.netrc(path)
        return path.read_text(encoding="utf-8").rstrip() + "\n"
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError):
        return ""


def _configured(environ: Mapping[str, str]) -> dict[str, str]:
    """The indexes in pip's configuration files; later files win over earlier ones.

    Locations of the files: https://pip.pypa.io/en/stable/topics/configuration/
    """
    parser = configparser.RawConfigParser()
    for path in _files(environ):
        with contextlib.suppress(configparser.Error, OSError, UnicodeDecodeError):
            parser.read(path, encoding="utf-8")
    variables = {}
    for section in ("global", "download", "wheel", "install"):
        for option, variable in (*_OPTIONS.items(), ("keyring-provider", _PROVIDER)):
            if value := parser.get(section, option, fallback=""):
                variables[variable] = " ".join(value.split())
    return variables


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

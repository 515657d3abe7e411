"""Files in which tools keep keys: hidden from code of packages and asset steps."""

import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from fapbuild.cache import default_folder

_VARIABLES = (
    *("NETRC", "PIP_CONFIG_FILE", "SSH_AUTH_SOCK", "DOCKER_CONFIG", "KUBECONFIG", "GNUPGHOME"),
    *("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AZURE_CONFIG_DIR"),
    *("GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "GH_CONFIG_DIR", "FAP_SIGNING_KEY"),
)
"""Variables that name such files."""
_IN_HOME = (
    *(".netrc", ".pypirc", ".git-credentials", ".pgpass", ".my.cnf", ".npmrc", ".yarnrc.yml", ".vault-token"),
    *(".aws", ".azure", ".kube", ".gnupg", ".password-store", ".docker/config.json", ".gem/credentials"),
    *(".pip", ".config/pip", ".config/gcloud", ".config/gh", ".config/git/credentials", ".config/containers"),
    *(".config/pypoetry/auth.toml", ".local/share/uv/credentials", ".local/share/python_keyring"),
    *(".local/share/keyrings", ".cargo/credentials.toml", ".terraform.d/credentials.tfrc.json"),
)
_NO_SSH_KEYS = ("config", "known_hosts", "authorized_keys")
_PIP_CONFIGURATION = (Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf"), Path(sys.prefix) / "pip.conf")
"""Asset steps may need them, so they are hidden only with a login in them."""


def logins() -> Path:
    """The folder for logins that fapbuild gives to pip. Raises FapError if there is no place for it."""
    return default_folder() / "logins"


def existing(environ: Mapping[str, str], homes: Collection[Path]) -> Iterator[str]:
    """Yield those that exist."""
    places = [Path(environ[name]) for name in _VARIABLES if environ.get(name)]
    places += [home / name for home in homes for name in _IN_HOME]
    places += [key for home in homes for key in _ssh_keys(home / ".ssh")]
    places += [Path("/run/secrets"), logins().absolute(), *filter(_has_login, _PIP_CONFIGURATION)]
    for place in places:
        if place.is_absolute() and _exists(place):
            yield str(place)


def _has_login(configuration: Path) -> bool:
    try:
        return "@" in configuration.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _ssh_keys(folder: Path) -> list[Path]:
    """All but what ssh needs to reach a host with the keys of an agent."""
    try:
        paths = list(folder.iterdir())
    except OSError:
        return []
    return [path for path in paths if path.suffix != ".pub" and not path.name.startswith(_NO_SSH_KEYS)]


def _exists(place: Path) -> bool:
    try:
        return place.exists()
    except OSError:
        return False

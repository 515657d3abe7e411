"""What must not become an artifact: pure checks, each with the way out in its hint."""

import fnmatch
import unicodedata
from collections.abc import Iterable, Sequence

import pathspec

from artifact_store.errors import UsageError

TAKEN = ("install.sh", "requirements.lock", "wheels", ".fap", "venv", "venv.tmp", "venv.old")
_SECRETS = (
    *(".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx"),
    *(".netrc", ".pypirc", ".pgpass", ".htpasswd", ".git-credentials"),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"),
)
_EXAMPLES = (".env.example", ".env.sample", ".env.template", ".env.dist")
_SHOWN = 5


def check_clean(changes: Sequence[str]) -> None:
    """Raise UsageError if the working tree holds anything that is not committed."""
    if changes:
        shown = "\n".join(f"  {line}" for line in changes[:_SHOWN])
        more = f"\n  and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
        raise UsageError(
            f"the working tree is not what is committed:\n{shown}{more}",
            hint="add it to .gitignore or commit it, pack a commit with --ref HEAD, or say --allow-dirty",
        )


def check_names(paths: Iterable[str], *, own_installer: bool) -> None:
    """Raise UsageError for names the artifact itself needs, and for two that some disks take for one."""
    seen: dict[str, str] = {}
    for path in paths:
        top = path.split("/")[0]
        if top in TAKEN and not (own_installer and path == "install.sh"):
            raise UsageError(
                f"{path}: the name {top} is taken in an artifact by fapkit's own file",
                hint='say installer = "own" in [tool.fapbuild] to keep your install.sh'
                if path == "install.sh"
                else f'rename it (git mv), or leave it out: exclude = ["/{top}"]',
            )
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if other != name:
                raise UsageError(
                    f"{other} and {name} are one name where case does not count", hint="rename one: git mv"
                )
    if own_installer and "install.sh" not in seen:
        raise UsageError(
            'installer = "own", and no install.sh is committed', hint="commit one, or drop the key"
        )


def check_secrets(paths: Iterable[str], allow: Sequence[str]) -> None:
    """Raise UsageError for files that by their names hold secrets, unless a pattern of `allow` matches."""
    allowed = pathspec.GitIgnoreSpec.from_lines(allow)
    for path in paths:
        name = path.rsplit("/", 1)[-1].lower()
        if name in _EXAMPLES or not any(fnmatch.fnmatchcase(name, pattern) for pattern in _SECRETS):
            continue
        if not allowed.match_file(path):
            raise UsageError(
                f"{path} looks like a secret, and everyone who can read the store can read an artifact",
                hint=f'git rm --cached {path}; or, if it is harmless, in [tool.fapbuild]: allow = ["{path}"]',
            )

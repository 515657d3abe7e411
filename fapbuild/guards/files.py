"""What must not become an artifact: checks that name the file, and the way out in the hint."""

import fnmatch
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from artifact_store.core.errors import UsageError
from fapbuild.archive.members import Entry
from fapbuild.cache import Cache
from fapbuild.project.config import Settings
from fapbuild.project.patterns import matcher

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
        raise UsageError(
            f"the working tree is not what is committed:\n{shown}{_more(changes)}",
            hint="add it to .gitignore or commit it, pack a commit with --ref HEAD, or say --allow-dirty",
        )


def check_clean_beside(changes: Sequence[str]) -> None:
    """Raise UsageError if a folder of the repository that the project depends on differs from the commit."""
    if changes:
        shown = "\n".join(f"  {line}" for line in changes[:_SHOWN])
        raise UsageError(
            f"what the project depends on is not what is committed:\n{shown}{_more(changes)}",
            hint="commit it, or pack a commit with --ref HEAD; --allow-dirty is for the project's own folder",
        )


def check_pushed(commit: str, *, pushed: bool) -> None:
    """Raise UsageError for a commit that no remote has: nobody else could look at what runs."""
    if not pushed:
        raise UsageError(
            f"commit {commit[:12]} was not pushed, so that only this machine has what would be released",
            hint="git push; if it was pushed, git fetch; or say --allow-unpushed",
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


def check_files(
    entries: Sequence[Entry], digests: Mapping[str, str], settings: Settings, cache: Cache
) -> None:
    """Raise UsageError for a file that holds secrets, by its name or its text, or is too large.

    Files that a pattern of `allow` matches are left alone. `digests` name the contents, by path.
    """
    checked = unallowed(entries, settings)
    check_secret_names(entry.path for entry in checked)
    check_sizes(checked, settings.file_limit)
    check_secret_texts(checked, digests, cache)


def unallowed(entries: Sequence[Entry], settings: Settings) -> list[Entry]:
    """The entries that no pattern of `allow` matches."""
    allowed = matcher(pattern.path for pattern in settings.allow)
    return [entry for entry in entries if not allowed(entry.path)]


def check_secret_names(paths: Iterable[str]) -> None:
    """Raise UsageError for files that by their names hold secrets."""
    for path in paths:
        if is_secret_name(path):
            raise UsageError(
                f"{path} looks like a secret, and {_READ_BY_ALL}",
                hint=f"git rm --cached {path}; or, if it is harmless, {_allow(path)}",
            )


def is_secret_name(path: str) -> bool:
    """Whether a file of this name usually holds a secret."""
    name = path.rsplit("/", 1)[-1].lower()
    return name not in _EXAMPLES and any(fnmatch.fnmatchcase(name, pattern) for pattern in _SECRETS)


def check_sizes(entries: Iterable[Entry], limit: int) -> None:
    """Raise UsageError for a file of more than `limit` MB: each release would carry it to each host."""
    for entry in entries:
        if entry.size > limit * 1_000_000:
            raise UsageError(
                f"{entry.path} has {entry.size / 1e6:.0f} MB, and file_limit is {limit} MB",
                hint="keep data out of the code (linked_dirs of deploy.yml, a bucket), or leave it out: "
                f'exclude = ["/{entry.path}"]; or, if hosts need it, {_allow(entry.path)}',
            )


def check_secret_texts(entries: Sequence[Entry], digests: Mapping[str, str], cache: Cache) -> None:
    """Raise UsageError for files whose text looks like a secret; `digests` name the contents, by path."""
    from fapbuild.guards import secret_scan

    texts = [
        secret_scan.Text(entry.path, entry.content, digests[entry.path])
        for entry in entries
        if isinstance(entry.content, Path)
    ]
    found = secret_scan.scan(texts, cache)
    if found:
        shown = "\n".join(f"  {one.path} line {one.line}: {one.kind}" for one in found[:_SHOWN])
        raise UsageError(
            f"what looks like secrets would be packed, and {_READ_BY_ALL}:\n{shown}{_more(found)}",
            hint="give them to the app as variables (environment in deploy.yml), and change those that were "
            f"committed; or, if they are harmless, {_allow(found[0].path)}",
        )


_READ_BY_ALL = "everyone who can read the store can read an artifact"


def _allow(path: str) -> str:
    return f'in [tool.fapbuild]: allow = [{{path = "/{path}", reason = "why"}}]'


def _more(found: Sequence[object]) -> str:
    return f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""

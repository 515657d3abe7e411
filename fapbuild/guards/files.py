"""Refuses what must not be packed. Each error names the file, and its hint the way out."""

import fnmatch
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from artifact_store.artifact.reader import RefusedError, check_name
from artifact_store.core.errors import UsageError
from fapbuild.archive.members import TarEntry
from fapbuild.cache import Cache
from fapbuild.project.config import BuildSettings
from fapbuild.project.patterns import matcher

RESERVED = ("install.sh", "requirements.lock", "wheels", ".fap", "venv", "venv.tmp", "venv.old")
_SECRETS = (
    *(".env", ".env.*", "*.env", ".envrc", ".envrc.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.kdbx"),
    *("*.kdb", "*.keystore", "*.ppk", "*.keytab", "*.agekey", "*.ovpn", "*.tfstate", "*.tfstate.*", ".s3cfg"),
    *(".netrc", "_netrc", ".pypirc", ".pgpass", "pgpass.conf", ".my.cnf", ".mylogin.cnf", ".htpasswd"),
    *(
        ".git-credentials",
        ".dockercfg",
        ".terraformrc",
        "credentials.tfrc.json",
        "kubeconfig",
        "*.kubeconfig",
    ),
    *("id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk", "ssh_host_*_key"),
    ".vault-token",
)
_SECRET_PATHS = (".aws/credentials", ".kube/config", ".docker/config.json", ".cargo/credentials.toml")
_EXAMPLE = re.compile(r"(?:.*[._-])?(?:example|sample|template|dist|defaults?)(?:[._-].*)?")
"""Names of files with made-up values: `.env.example`, `sample.env`."""
_SHOWN = 5
_LARGEST_BUNDLE = 1 << 22


def check_clean(changes: Sequence[str]) -> None:
    """Raise UsageError if the working tree holds anything that is not committed."""
    if changes:
        shown = "\n".join(f"  {line}" for line in changes[:_SHOWN])
        raise UsageError(
            f"the working tree has uncommitted changes:\n{shown}{_more(changes)}",
            hint="commit them, or add them to .gitignore; --ref HEAD packs without them, --allow-dirty with",
        )


def check_clean_beside(changes: Sequence[str]) -> None:
    """Raise UsageError if a folder of the repository that the project depends on differs from the commit."""
    if changes:
        shown = "\n".join(f"  {line}" for line in changes[:_SHOWN])
        raise UsageError(
            f"folders that the project depends on have uncommitted changes:\n{shown}{_more(changes)}",
            hint="commit them, or pack the commit without them (--ref HEAD); --allow-dirty covers only the "
            "project's own folder",
        )


def check_pushed(commit: str, *, pushed: bool) -> None:
    """Raise UsageError for a commit that no remote has: nobody else could see what runs."""
    if not pushed:
        raise UsageError(
            f"commit {commit[:12]} has not been pushed",
            hint="git push; or git fetch, if it was pushed from elsewhere; or pass --allow-unpushed",
        )


def check_names(paths: Iterable[str], *, own_installer: bool) -> None:
    """Raise UsageError for names that no host accepts, that the artifact needs, or that differ only in case
    or Unicode form."""
    seen: dict[str, str] = {}
    for path in paths:
        try:
            check_name(path)
        except RefusedError as error:
            raise UsageError(str(error), hint="rename it (git mv), or exclude it") from error
        top = path.split("/")[0]
        if top in RESERVED and not (own_installer and path == "install.sh"):
            raise UsageError(
                f"{path}: the name {top} is reserved for fapkit in an artifact",
                hint='set installer = "own" in [tool.fapbuild] to use your own install.sh'
                if path == "install.sh"
                else f'rename it (git mv), or exclude it: exclude = ["/{top}"]',
            )
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            other = seen.setdefault(without_case(name), name)
            if other != name:
                raise UsageError(
                    f"{other} and {name} are the same name on file systems that ignore case or Unicode form",
                    hint=f'rename one (git mv), or exclude one: exclude = ["/{name}"]',
                )
    if own_installer and "install.sh" not in seen:
        raise UsageError(
            'installer = "own", but no install.sh is committed', hint="commit one, or remove the key"
        )


def without_case(name: str) -> str:
    """The name as file systems compare it that ignore case and Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()


def check_files(
    entries: Sequence[TarEntry], digests: Mapping[str, str], settings: BuildSettings, cache: Cache
) -> None:
    """Raise UsageError for files that are too large, or look like secrets by their names or their texts.

    The error names all of them. Files that a pattern of `allow` matches are not checked. `digests` name the
    contents, by path.
    """
    checked = unallowed(entries, settings)
    errors = []
    checks: tuple[Callable[[], None], ...] = (
        lambda: check_secret_names(certificates_apart(checked)),
        lambda: check_sizes(checked, settings.file_limit),
        lambda: check_secret_texts(checked, digests, cache),
    )
    for check in checks:
        try:
            check()
        except UsageError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        hints = dict.fromkeys(error.hint for error in errors)
        raise UsageError("\n".join(error.message for error in errors), hint="\n".join(hints))


def certificates_apart(entries: Iterable[TarEntry]) -> Iterator[str]:
    """The paths of the entries, without files that hold only certificates and public keys."""
    for entry in entries:
        if not (entry.path.lower().endswith(".pem") and _is_public(entry)):
            yield entry.path


def _is_public(entry: TarEntry) -> bool:
    if not isinstance(entry.content, Path) or entry.size > _LARGEST_BUNDLE:
        return False
    kinds = re.findall(rb"-----BEGIN ([A-Z0-9 ]+)-----", entry.content.read_bytes())
    return bool(kinds) and all(
        re.search(rb"CERTIFICATE|PUBLIC KEY|DH PARAMETERS|CRL", kind) for kind in kinds
    )


def unallowed(entries: Sequence[TarEntry], settings: BuildSettings) -> list[TarEntry]:
    """The entries that no pattern of `allow` matches."""
    allowed = matcher(pattern.path for pattern in settings.allow)
    return [entry for entry in entries if not allowed(entry.path)]


def check_secret_names(paths: Iterable[str]) -> None:
    """Raise UsageError for files whose names are usual for secrets."""
    secret = [path for path in paths if is_secret_name(path)]
    if len(secret) == 1:
        raise UsageError(
            f"{secret[0]} looks like a secret, and {_READ_BY_ALL}",
            hint=f"git rm --cached {secret[0]}; or, if it is harmless, {_allow(secret[0])}",
        )
    if secret:
        shown = "".join(f"\n  {path}" for path in secret)
        lines = "".join(f'\n  {{path = "/{path}", reason = "why"}},' for path in secret)
        raise UsageError(
            f"these files look like secrets, and {_READ_BY_ALL}:{shown}",
            hint="git rm --cached PATH; or, if they are harmless, add those lines to [tool.fapbuild]: "
            f"allow = [{lines}\n]",
        )


def is_secret_name(path: str) -> bool:
    """Whether files of this name usually hold secrets."""
    name = path.rsplit("/", 1)[-1].lower()
    if "env" in name and _EXAMPLE.fullmatch(name):
        return False
    by_path = any(f"/{path}".endswith(f"/{secret}") for secret in _SECRET_PATHS)
    return by_path or any(fnmatch.fnmatchcase(name, pattern) for pattern in _SECRETS)


def check_sizes(entries: Iterable[TarEntry], limit: int) -> None:
    """Raise UsageError for a file over `limit` MB: each release would send it to each host."""
    large = [entry for entry in entries if entry.size > limit * 1_000_000]
    for entry in large[:1]:
        more = "".join(f"\n  so has {other.path}: {other.size / 1e6:.0f} MB" for other in large[1:])
        raise UsageError(
            f"{entry.path} has {entry.size / 1e6:.0f} MB, but file_limit is {limit} MB{more}",
            hint="keep data outside of the code (linked_dirs of deploy.yml, a bucket), or exclude it: "
            f'exclude = ["/{entry.path}"]; or, if hosts need it, {_allow(entry.path)}',
        )


def check_secret_texts(entries: Sequence[TarEntry], digests: Mapping[str, str], cache: Cache) -> None:
    """Raise UsageError for files whose text looks like a secret; `digests` name the contents, by path."""
    from fapbuild.guards import secret_scan

    texts = [
        secret_scan.ScannedFile(entry.path, entry.content, digests[entry.path])
        for entry in entries
        if isinstance(entry.content, Path)
    ]
    secrets = secret_scan.scan(texts, cache)
    if secrets:
        shown = "\n".join(f"  {secret.path} line {secret.line}: {secret.kind}" for secret in secrets[:_SHOWN])
        raise UsageError(
            f"these lines look like secrets, and {_READ_BY_ALL}:\n{shown}{_more(secrets)}",
            hint="pass secrets to the app as variables (environment in deploy.yml), and replace those that "
            f"were committed; or, if they are harmless, {_allow(secrets[0].path)}",
        )


_READ_BY_ALL = "everyone with access to the store can read artifacts"


def _allow(path: str) -> str:
    return f'add to [tool.fapbuild]: allow = [{{path = "/{path}", reason = "why"}}]'


def _more(items: Sequence[object]) -> str:
    return f"\n  and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""

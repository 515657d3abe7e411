"""Open the storage behind a store's URL."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from artifact_store.blobs.protocol import Blobs
from artifact_store.core.errors import UsageError

_HINT = "use s3://bucket/prefix, file:///dir, ./dir or https://host/path, in --store or FAP_STORE"


def open_blobs(url: str, *, unsafe: bool = False, existing: bool = False) -> Blobs:
    """Open the storage at `s3://bucket/prefix`, `file:///dir`, a path, or `https://host/path` (read-only).

    With `existing`, a folder must be a store already: StoreError if not. With `unsafe`, an S3 server that
    refuses conditional writes is used without them. Does not connect yet. Raises UsageError for other URLs
    and for URLs with a password or a query.
    """
    if not url:
        raise UsageError("no store is given", hint=_HINT)
    if url.startswith(("/", "./", "../")):
        return _folder(Path(url).absolute(), existing)
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise UsageError(f"the store's URL is not valid: {error}", hint=_HINT) from error
    if parts.username is not None or parts.query or parts.fragment:
        raise UsageError(
            f"a store's URL can't have a user, password or query: {parts.scheme}://{host or ''}{parts.path}",
            hint="credentials for S3 come from the usual AWS variables and files",
        )
    if parts.scheme == "file":
        if not parts.path.startswith("/"):
            raise UsageError(
                f"{url}: the URL of a folder needs three slashes and the whole path",
                hint=f"use file:///dir, or ./{parts.path} for a folder below this one",
            )
        if host not in (None, "localhost"):
            raise UsageError(
                f"{url}: the URL of a folder needs three slashes",
                hint=f"did you mean file:///{host}{parts.path}?",
            )
        return _folder(Path(unquote(parts.path)), existing)
    if parts.scheme == "s3" and parts.netloc:
        try:
            from artifact_store.blobs.s3 import S3Blobs
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{url} needs {error.name}, which is not installed",
                hint="add boto3 to the environment of fapkit (its extra s3): pip install boto3",
            ) from error
        return S3Blobs(parts.netloc, parts.path.strip("/"), unsafe=unsafe)
    if parts.scheme in ("http", "https") and host:
        from artifact_store.blobs.web import WebBlobs

        return WebBlobs(url.rstrip("/"))
    raise UsageError(f"{url!r} is not a valid store URL", hint=_HINT)


def make_store(url: str, group: str = "") -> str:
    """Make the folder at `url` a store; return its name. Raises UsageError if it is the URL of no folder.

    With `group`, all users of that group may write to it.
    """
    from artifact_store.blobs import folder

    blobs = open_blobs(url)
    if not isinstance(blobs, folder.FolderBlobs):
        raise UsageError(f"{blobs.name} is not a folder", hint="only folders need init; see `aws s3 mb`")
    folder.make_store(blobs.root, group)
    return blobs.name


def _folder(path: Path, existing: bool) -> Blobs:
    from artifact_store.blobs.folder import FolderBlobs, check_store

    if existing:
        check_store(path)
    return FolderBlobs(path)

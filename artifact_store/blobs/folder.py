"""Blobs in a folder: written to a temporary file, fsynced, then hard-linked to their key.

link(2) fails with EEXIST if the key exists, also over NFS; a rename would overwrite it.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from io import BufferedRandom
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from artifact_store.blobs.bucket_rules import StorageSettings
from artifact_store.blobs.folder_ranges import fill
from artifact_store.blobs.parts import Range
from artifact_store.blobs.pieces import checked, pieces, whole
from artifact_store.blobs.protocol import Blob, Link, Sink, Unfinished, get_or_none
from artifact_store.core.errors import ConflictError, NotFoundError, StoreError
from artifact_store.core.folders import MODE
from artifact_store.core.hints import Hint

_CHUNK = 1 << 20
_INCOMING = ".incoming"
_MARKER = ".fapstore"
_SHARED = "shared\n"
"""The content of the marker of a store that all users of its group write to."""
_SHARED_FOLDER = 0o2775  # what is made in it belongs to the group
_DEEPEST = 3  # <app>/stages/<stage>
_MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)


def make_store(root: Path, group: str = "") -> None:
    """Make the folder `root`, if it is missing, and mark it as a store, so that it counts while it is empty.

    With `group`, all users of that group may write to it, whatever their umask. Raises StoreError if that is
    not possible.
    """
    try:
        _make_folder(root, shared=False)
        if group:
            shutil.chown(root, group=group)
            root.chmod(_SHARED_FOLDER)
            (root / _MARKER).write_text(_SHARED)
            (root / _MARKER).chmod(0o664)
        else:
            (root / _MARKER).touch()
    except LookupError as error:
        raise StoreError(f"{group} is not a group of this machine", hint="getent group") from error
    except OSError as error:
        raise StoreError(
            f"{root} can't be made a store: {error.strerror}", hint=f"check the permissions of {root.parent}"
        ) from error


def check_store(root: Path) -> None:
    """Raise StoreError for a folder that is missing or empty: its share is not mounted, or a typo."""
    try:
        if root.is_dir():
            with os.scandir(root) as entries:
                if next(entries, None):
                    return
            problem = "is empty"
        else:
            problem = "is not a folder" if root.exists() else "does not exist"
    except OSError as error:
        problem = f"can't be read ({error.strerror})"
    raise StoreError(
        f"there is no store at {root}: it {problem}",
        hint=Hint("check the path, and that it is mounted; for a new store: {fapstore} init"),
    )


class FolderBlobs:
    """Blobs as files below `root`; a key is a relative path. Files are read-only."""

    can_list = True
    can_write = True
    is_atomic = True

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _is_shared(self) -> bool:
        try:
            return (self.root / _MARKER).read_text() == _SHARED
        except OSError:
            return False

    @property
    def name(self) -> str:
        """See Blobs."""
        return self.root.as_uri()

    def in_parts(self) -> "FolderBlobs":
        """See Blobs. In a folder there are no parts."""
        return self

    def get(self, key: str) -> bytes:
        """See Blobs."""
        with self._reading(key), self._path(key).open("rb") as file:
            return whole(pieces(file), key)

    def get_each(self, keys: Iterable[str]) -> Iterator[bytes | None]:
        """See Blobs."""
        return (get_or_none(self, key) for key in keys)

    def get_to(self, key: str, file: Sink, start: int = 0) -> None:
        """See Blobs."""
        with self._reading(key):
            source = self._path(key).open("rb")
        with source:
            source.seek(start)
            shutil.copyfileobj(source, file, _CHUNK)

    def create(self, key: str, body: bytes | BinaryIO, sha256: str = "") -> None:
        """See Blobs."""
        self._create(key, lambda file: file.writelines(checked(pieces(body), sha256, key)))

    def create_with(self, key: str, file: BinaryIO, sha256: str, ranges: Sequence[Range]) -> int:
        """See Blobs. The kernel copies the ranges; a file system with reflinks may share them."""
        sources = {one.key: self._path(one.key) for one in ranges}
        self._create(key, lambda target: fill(target, file, sha256, ranges, sources))
        return file.seek(0, os.SEEK_END) - sum(one.length for one in ranges)

    def _create(self, key: str, fill_file: Callable[[BufferedRandom], None]) -> None:
        path = self._path(key)
        incoming = self.root / _INCOMING / key.split("/")[0] / secrets.token_hex(16)
        taken = ConflictError(f"{key} already exists in {self.name}")
        with self._writing(key):
            if path.is_file():
                raise taken
            for folder in (incoming.parent, path.parent):
                _make_folder(folder, shared=self._is_shared)
            try:
                _write(incoming, fill_file, shared=self._is_shared)
                _link(incoming, path, taken)
            finally:
                incoming.unlink(missing_ok=True)

    def size(self, key: str) -> int | None:
        """See Blobs."""
        try:
            with self._reading(key):
                status = self._path(key).stat()
                return status.st_size if stat.S_ISREG(status.st_mode) else None
        except NotFoundError:
            return None

    def keys(self, prefix: str, after: str = "") -> Iterator[str]:
        """See Blobs."""
        self._path(prefix)  # raises for an invalid one
        with self._reading(prefix):
            for _, key in self._walk(prefix):
                if key > after:
                    yield key

    def listing(self, prefix: str, after: str = "") -> Iterator[Blob]:
        """See Blobs."""
        self._path(prefix)
        with self._reading(prefix):
            for entry, key in self._walk(prefix):
                if key > after:
                    with suppress(FileNotFoundError):
                        status = entry.stat()
                        yield Blob(key, status.st_size, _time(status))

    def folders(self, prefix: str) -> Iterator[str]:
        """See Blobs."""
        self._path(prefix)
        with self._reading(prefix):
            for entry, name in self._entries(prefix):
                if name.endswith("/") and next(self._walk(prefix + name), None) is not None:
                    yield entry.name

    def delete(self, key: str) -> None:
        """See Blobs. Empty folders stay, because a running create may need them."""
        path = self._path(key)
        with self._writing(key), suppress(*_MISSING):
            path.unlink()
            _sync(path.parent)

    def unfinished(self, prefix: str) -> Iterator[Unfinished]:
        """See Blobs."""
        app = prefix.split("/")[0]
        incoming = self.root / _INCOMING
        with self._reading(_INCOMING):
            for path in sorted(incoming.glob(f"{app or '*'}/*")):
                with suppress(FileNotFoundError):
                    status = path.stat()
                    name = path.relative_to(self.root).as_posix()
                    yield Unfinished(name, path.name, status.st_size, _time(status))

    def abort(self, unfinished: Unfinished) -> None:
        """See Blobs."""
        with self._writing(unfinished.key):
            (self.root / unfinished.key).unlink(missing_ok=True)

    def settings(self) -> StorageSettings:
        """See Blobs."""
        with self._reading(""):
            status = self.root.stat()
            return StorageSettings(
                open_to_all=bool(status.st_mode & stat.S_IWOTH),
                elsewhere=tuple(self._odd(lambda one: one.st_dev != status.st_dev)),
                closed_to_group=tuple(self._odd(lambda one: not _is_open(one, status)))
                if self._is_shared
                else (),
                unshared=not self._is_shared
                and bool(status.st_mode & stat.S_IWGRP and status.st_mode & stat.S_ISGID),
            )

    def _odd(self, is_odd: Callable[[os.stat_result], bool]) -> Iterator[str]:
        """The folders near the top of the store that are odd, and those that can't be looked at."""
        with os.scandir(self.root) as entries:
            folders = sorted(self.root / entry.name for entry in entries if entry.is_dir())
        for folder in folders:
            yield from self._odd_below(folder, is_odd, _DEEPEST)

    def _odd_below(self, folder: Path, is_odd: Callable[[os.stat_result], bool], deep: int) -> Iterator[str]:
        if is_odd(folder.stat()):
            yield folder.relative_to(self.root).as_posix()
        elif deep > 1:
            with os.scandir(folder) as entries:
                folders = [folder / entry.name for entry in entries if entry.is_dir()]
            for below in sorted(folders):
                yield from self._odd_below(below, is_odd, deep - 1)

    def link(self, key: str, expires: timedelta) -> Link:
        """See Blobs. The URL of a file never expires."""
        return Link(self._path(key).as_uri())

    def _path(self, key: str) -> Path:
        parts = key.removesuffix("/").split("/")
        if key and any(not part or part.startswith(".") for part in parts):
            raise StoreError(f"{key!r} is not a valid file name in {self.name}")
        return self.root.joinpath(*parts)

    def _walk(self, prefix: str) -> "Iterator[tuple[os.DirEntry[str], str]]":
        """The files below a prefix with their keys, sorted folder by folder."""
        for entry, name in self._entries(prefix):
            if name.endswith("/"):
                yield from self._walk(prefix + name)
            else:
                yield entry, prefix + name

    def _entries(self, prefix: str) -> "list[tuple[os.DirEntry[str], str]]":
        """The entries of a folder, sorted as their keys: a folder's name ends in `/`."""
        try:
            with os.scandir(f"{self.root}/{prefix}") as entries:
                named = [
                    (entry, f"{entry.name}/" if entry.is_dir() else entry.name)
                    for entry in entries
                    if entry.name[0] != "."
                ]
        except FileNotFoundError:
            return []
        return sorted(named, key=itemgetter(1))

    @contextmanager
    def _writing(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.name}: {key} can't be written: {error.strerror}",
                hint=f"check space, permissions and hard links in {self.root}, then run it again",
            ) from error

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        try:
            yield
        except _MISSING:
            raise NotFoundError(f"{key} does not exist in {self.name}") from None
        except OSError as error:
            raise StoreError(
                f"{self.name}: {key} can't be read: {error.strerror}",
                hint=f"check the permissions of {self.root}",
            ) from error


def _write(path: Path, fill_file: Callable[[BufferedRandom], None], *, shared: bool) -> None:
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o444), "w+b") as file:
        if shared:
            os.fchmod(file.fileno(), 0o444)  # whatever the umask
        fill_file(file)
        file.flush()
        os.fsync(file.fileno())


def _time(status: os.stat_result) -> datetime:
    return datetime.fromtimestamp(status.st_mtime, UTC)


def _link(source: Path, target: Path, taken: ConflictError) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise taken from None
    _sync(target.parent)


def _is_open(status: os.stat_result, root: os.stat_result) -> bool:
    """Whether a folder belongs to the group of the root, and the group may write to it."""
    return bool(status.st_mode & stat.S_IWGRP) and status.st_gid == root.st_gid


def _make_folder(path: Path, *, shared: bool) -> None:
    """Make `path` and its missing parents, durably: they survive a crash of the machine.

    If the store is `shared`, all users of its group may write to them, whatever the umask.
    """
    if path.is_dir():
        return
    _make_folder(path.parent, shared=shared)
    with suppress(FileExistsError):
        path.mkdir(MODE)
        if shared:
            path.chmod(_SHARED_FOLDER)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The build cache: files by their sha256, answers to questions (which wheel?), and computed results.

Any number of builds may share the folder. A file gets its name only when it is complete. An answer is
written once, and a build that comes second uses the first answer. Bytes are checked by their sha256 before
use, so anything that a power cut or a bad disk damaged is made again. A file that was checked since this
machine started, and has the same times, counts as checked: a push reads every byte of an artifact again.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from artifact_store.core.errors import FapError
from artifact_store.core.folders import make_folder

_CHUNK = 1 << 20
_HEX = 64
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def default_folder() -> Path:
    """`FAP_CACHE`, or else `~/.cache/fapkit/build` (`XDG_CACHE_HOME` is respected).

    Raises FapError if there is neither a variable nor a home folder.
    """
    if chosen := os.environ.get("FAP_CACHE"):
        return Path(chosen)
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise FapError(
            "there is no home folder for the build cache", hint="set FAP_CACHE to a folder"
        ) from error
    return base / "fapkit" / "build"


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache: its name and the sha256 of its bytes."""

    file: str
    sha256: str
    source: str = ""
    """The sha256 of the source a wheel was built from; empty if it was not built."""


@dataclass(frozen=True)
class Cache:
    """The files below `folder`:

    `blobs/<2 hex>/<sha256>`, `answers/<kind>/<sha256 of the question>.json`,
    `results/<kind>/<sha256 of the question>`, whose first line is the sha256 of the rest, and
    `seen/<2 hex>/<sha256>`, which describes the blob when it was last checked.

    Methods raise FapError if the folder can't be used.
    """

    folder: Path

    def blob(self, sha256: str) -> Path | None:
        """The file with these bytes, or None. A damaged file is removed."""
        path = self.path(sha256)
        try:
            if self._is_seen(path) or self._is_intact(path):
                return path
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _trouble(path, error) from error
        return None

    def _is_seen(self, path: Path) -> bool:
        try:
            return self._seen_path(path).read_text(encoding="ascii") == _description(path) != ""
        except (FileNotFoundError, UnicodeDecodeError):
            return False

    def _is_intact(self, path: Path) -> bool:
        before = _description(path)
        if sha256_of(path) != path.name:
            return False
        seen = self._seen_path(path)
        with contextlib.suppress(OSError):  # then it is checked again the next time
            make_folder(seen.parent)
            _write(seen, before.encode("ascii"))
        return True

    def _seen_path(self, path: Path) -> Path:
        return self.folder / "seen" / path.name[:2] / path.name

    def add(self, source: Path, sha256: str = "") -> str:
        """Copy a file into the cache and return its sha256.

        A caller that gives the `sha256` has just computed it and hands the file over: it may be linked.
        """
        given, sha256 = bool(sha256), sha256 or sha256_of(source)
        if self.blob(sha256) is None:
            target = self.path(sha256)
            try:
                make_folder(target.parent)
                if given and _linked(source, target):
                    return sha256
                with source.open("rb") as incoming, _temporary(target) as out:
                    while chunk := incoming.read(_CHUNK):
                        out.write(chunk)
                    out.flush()
                    Path(out.name).replace(target)
            except OSError as error:
                raise _trouble(target, error) from error
        return sha256

    def answer(self, kind: str, question: str) -> CachedFile | None:
        """The recorded answer to a question, if its bytes are still there."""
        try:
            raw = json.loads(self._answer_path(kind, question).read_text(encoding="utf-8"))
            answer = CachedFile(str(raw["file"]), str(raw["sha256"]), str(raw.get("source", "")))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return answer if self.blob(answer.sha256) else None

    def record(self, kind: str, question: str, answer: CachedFile) -> CachedFile:
        """Record an answer and return the one that counts: the first, as long as its bytes are there."""
        path = self._answer_path(kind, question)
        body = json.dumps({**asdict(answer), "question": question}, sort_keys=True)
        try:
            make_folder(path.parent)
            with _temporary(path) as out:
                out.write(body.encode("utf-8"))
                out.flush()
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(out.name)
                    return answer
                if first := self.answer(kind, question):
                    return first
                Path(out.name).replace(path)
        except OSError as error:
            raise _trouble(path, error) from error
        return answer

    def keep(self, kind: str, question: str, compute: Callable[[], bytes]) -> CachedFile:
        """The file in the cache with the result of `compute` for this question, or a new one.

        As `remember`, for results that are large.
        """
        if found := self.answer(kind, question):
            return found
        data = compute()
        kept = CachedFile("", hashlib.sha256(data).hexdigest())
        path = self.path(kept.sha256)
        try:
            make_folder(path.parent)
            _write(path, data)
        except OSError as error:
            raise _trouble(path, error) from error
        return self.record(kind, question, kept)

    def remember(self, kind: str, question: str, compute: Callable[[], bytes]) -> tuple[bytes, str]:
        """The cached result of `compute` for this question, or a new one, with its sha256.

        `question` must name everything that the result depends on.
        """
        path = self._result_path(kind, question)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            raw = b""
        except OSError as error:
            raise _trouble(path, error) from error
        digest, result = raw[:_HEX].decode("ascii", "replace"), raw[_HEX + 1 :]
        if digest == hashlib.sha256(result).hexdigest():
            return result, digest
        result = compute()
        digest = hashlib.sha256(result).hexdigest()
        try:
            make_folder(path.parent)
            _write(path, f"{digest}\n".encode("ascii"), result)
        except OSError as error:
            raise _trouble(path, error) from error
        return result, digest

    def _result_path(self, kind: str, question: str) -> Path:
        return self.folder / "results" / kind / hashlib.sha256(question.encode("utf-8")).hexdigest()

    def path(self, sha256: str) -> Path:
        """The place of these bytes in the cache, whether they are there or not."""
        return self.folder / "blobs" / sha256[:2] / sha256

    def _answer_path(self, kind: str, question: str) -> Path:
        name = hashlib.sha256(question.encode("utf-8")).hexdigest()
        return self.folder / "answers" / kind / f"{name}.json"


def _linked(source: Path, target: Path) -> bool:
    """Link the file into the cache; False if that is not possible."""
    try:
        source.chmod(0o644)
        target.hardlink_to(source)
    except OSError:  # on another disk, or just made by another build
        return False
    return True


def _write(path: Path, *parts: bytes) -> None:
    """Write a file, completely or not at all."""
    with _temporary(path) as out:
        for part in parts:
            out.write(part)
        out.flush()
        Path(out.name).replace(path)


def _description(path: Path) -> str:
    """The boot of this machine, and what changes with a file; empty for systems that name no boots."""
    facts = path.stat()
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
    return f"{boot} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[IO[bytes]]:
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as out:
        os.fchmod(out.fileno(), 0o644)
        try:
            yield out
        finally:
            Path(out.name).unlink(missing_ok=True)


def _trouble(path: Path, error: OSError) -> FapError:
    return FapError(
        f"the build cache can't be used: {error.strerror}: {error.filename or path}",
        hint="set FAP_CACHE to a folder that you can write to",
    )

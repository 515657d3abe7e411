"""What is kept between builds: wheels by their sha256, which one answers a question, what was made of them.

Any number of builds may share the folder. A file appears under its name when it is written; an answer is
written once, and whoever comes second takes the first one's. All bytes are checked by their sha256 when they
are used, so what a power cut or a bad disk damaged is made again.
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

_CHUNK = 1 << 20
_HEX = 64


def default_folder() -> Path:
    """`FAP_CACHE`, else `~/.cache/fapkit/build` (`XDG_CACHE_HOME` is respected)."""
    if chosen := os.environ.get("FAP_CACHE"):
        return Path(chosen)
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise FapError("there is no home for the build cache", hint="set FAP_CACHE to a folder") from error
    return base / "fapkit" / "build"


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Kept:
    """The answer to a question: a file name and the sha256 of its bytes."""

    file: str
    sha256: str
    source: str = ""
    """The sha256 of what a wheel was built from, if it was."""


@dataclass(frozen=True)
class Cache:
    """Below `folder`:

    `blobs/<2 hex>/<sha256>`, `answers/<kind>/<sha256 of the question>.json`, and
    `results/<kind>/<sha256 of the question>`, whose first line is the sha256 of what follows.
    """

    folder: Path

    def blob(self, sha256: str) -> Path | None:
        """The file with these bytes, or None; bytes that rotted are removed."""
        path = self.path(sha256)
        try:
            if sha256_of(path) == sha256:
                return path
            path.unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _trouble(path, error) from error
        return None

    def keep(self, source: Path, sha256: str = "") -> str:
        """Copy a file's bytes in and return their sha256.

        Who gives their `sha256` has just computed it, and leaves the file to the cache: it may be linked.
        """
        given, sha256 = bool(sha256), sha256 or sha256_of(source)
        if self.blob(sha256) is None:
            target = self.path(sha256)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
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

    def answer(self, kind: str, question: str) -> Kept | None:
        """What was recorded for this question, if its bytes are still there."""
        try:
            raw = json.loads(self._answer_path(kind, question).read_text(encoding="utf-8"))
            kept = Kept(str(raw["file"]), str(raw["sha256"]), str(raw.get("source", "")))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return kept if self.blob(kept.sha256) else None

    def record(self, kind: str, question: str, kept: Kept) -> Kept:
        """Record an answer and return the one that stands: the first, as long as its bytes are there."""
        path = self._answer_path(kind, question)
        body = json.dumps({**asdict(kept), "question": question}, sort_keys=True)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with _temporary(path) as out:
                out.write(body.encode("utf-8"))
                out.flush()
                with contextlib.suppress(FileExistsError):
                    path.hardlink_to(out.name)
                    return kept
                if standing := self.answer(kind, question):
                    return standing
                Path(out.name).replace(path)
        except OSError as error:
            raise _trouble(path, error) from error
        return kept

    def remember(self, kind: str, question: str, compute: Callable[[], bytes]) -> tuple[bytes, str]:
        """What `compute` gave when this was asked before, or gives now; and its sha256.

        `question` names everything the result depends on.
        """
        path = self.result_path(kind, question)
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
            path.parent.mkdir(parents=True, exist_ok=True)
            with _temporary(path) as out:
                out.write(f"{digest}\n".encode("ascii"))
                out.write(result)
                out.flush()
                Path(out.name).replace(path)
        except OSError as error:
            raise _trouble(path, error) from error
        return result, digest

    def result_path(self, kind: str, question: str) -> Path:
        """The file that ends with what `remember` gave."""
        return self.folder / "results" / kind / hashlib.sha256(question.encode("utf-8")).hexdigest()

    def path(self, sha256: str) -> Path:
        """Where these bytes are if they are kept."""
        return self.folder / "blobs" / sha256[:2] / sha256

    def _answer_path(self, kind: str, question: str) -> Path:
        name = hashlib.sha256(question.encode("utf-8")).hexdigest()
        return self.folder / "answers" / kind / f"{name}.json"


def _linked(source: Path, target: Path) -> bool:
    """Whether the file could be put there without a copy."""
    try:
        source.chmod(0o644)
        target.hardlink_to(source)
    except OSError:  # on another disk, or just made by another build
        return False
    return True


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
        hint="set FAP_CACHE to a folder you may write to",
    )

"""Builds each wheel once: the first one counts, for this cache and for every machine that shares wheels."""

import hashlib
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import StoreError
from fapbuild import isolation
from fapbuild.cache import Cache, CachedFile, sha256_of
from fapbuild.locks import Pin
from fapbuild.project import platforms
from fapbuild.report import Say
from fapbuild.wheels import embedding
from fapbuild.wheels.facts import facts
from fapbuild.wheels.shared import WheelStore

_PYTHON = hashlib.sha256(sys.version.encode()).hexdigest()[:16]
"""The build of Python that runs here: programs like uWSGI's contain it."""


@dataclass(frozen=True)
class WheelBuilder:
    """Where the wheels of one build come from and go to."""

    platform: Platform
    cache: Cache
    work: Path
    """An existing folder for temporary files."""
    say: Say
    shared: WheelStore | None = None
    pass_env: tuple[str, ...] = ()
    """Names of variables that code which builds packages gets."""
    constraints: str = ""
    """The absolute path of a file with constraints of build requirements; empty for none."""

    @property
    def constraints_digest(self) -> str:
        """The sha256 of that file, as part of a question; empty for none."""
        return sha256_of(Path(self.constraints)) if self.constraints else ""

    @property
    def place(self) -> str:
        """The platform, this Python, and the store of shared wheels, if any, as part of a question."""
        shared = [self.shared.name] if self.shared else []
        return " ".join([platforms.name(self.platform), _PYTHON, *shared])

    def cached(self, pin: Pin) -> CachedFile | None:
        """The wheel that was chosen for this pin before."""
        return self.cache.answer("wheel", self._question(pin))

    def remember(self, pin: Pin, wheel: CachedFile) -> CachedFile:
        """Choose a wheel of the cache for this pin, unless one was chosen already; return the choice."""
        return self.cache.record("wheel", self._question(pin), wheel)

    def build_once(self, name: str, source: str, build: Callable[[Path], Path]) -> CachedFile:
        """The wheel of package `name`, built by `build` in the new folder it is given, unless there is one.

        `source` is the sha256 of everything it is built from. Two builds may differ, so the first counts.
        """
        work = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.work))
        hosts = platforms.name(self.platform)
        if self.constraints:
            source = hashlib.sha256(f"{source} {self.constraints_digest}".encode()).hexdigest()
        if self.shared and (shared := _taken(self.shared, name, source, hosts, work)):
            return CachedFile(shared.name, self.cache.add(shared), source)
        wheel = self.cache.answer("built", f"{source} {hosts} {_PYTHON}")
        if wheel is None:
            isolation.warn(self.say)
            path = build(work / "build")
            wheel = CachedFile(path.name, self.cache.add(path), source)
            glibc = facts(self.cache, wheel.sha256, path.name, path).glibc
            platforms.check_fits(path.name, self.platform, glibc)
            wheel = self.cache.record("built", f"{source} {hosts} {_PYTHON}", wheel)
        return self._offered(self.shared, name, wheel, work) if self.shared else wheel

    def _offered(self, store: WheelStore, name: str, wheel: CachedFile, work: Path) -> CachedFile:
        mine = work / "mine" / wheel.file
        mine.parent.mkdir()
        mine.symlink_to(self.cache.path(wheel.sha256))
        try:
            source = _of_this_python(wheel.source) if embedding.program(mine) else wheel.source
            path = store.offer(name, source, platforms.name(self.platform), mine, work)
        except StoreError as error:
            self.say(f"warning: can't share the wheel of {name} that was built here: {error.message}")
            return wheel
        return CachedFile(path.name, self.cache.add(path), wheel.source)

    def _question(self, pin: Pin) -> str:
        return " ".join([pin.name, pin.version, *sorted(pin.sha256s), self.place])


def _taken(store: WheelStore, name: str, source: str, hosts: str, work: Path) -> Path | None:
    """The shared wheel, unless it has another build of Python in it: such wheels are shared by that, too."""
    wheel = store.take(name, source, hosts, work)
    if wheel and not embedding.program(wheel):
        return wheel
    return store.take(name, _of_this_python(source), hosts, work)


def _of_this_python(source: str) -> str:
    return hashlib.sha256(f"{source} {_PYTHON}".encode()).hexdigest()

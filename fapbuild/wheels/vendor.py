"""Every pin of the lock as a wheel for the target: from the cache, the index, or built from its sdist."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import StoreError
from fapbuild.cache import Cache, Kept
from fapbuild.locks import Pin
from fapbuild.project import platforms
from fapbuild.wheels.download import Fetched, download
from fapbuild.wheels.facts import NO_FACTS, Facts, facts
from fapbuild.wheels.sdist import build_wheel
from fapbuild.wheels.shared import WheelStore

Say = Callable[[str], None]


@dataclass(frozen=True)
class Vendored:
    """A wheel that goes into the artifact; `path` is where its bytes are now."""

    name: str
    version: str
    file: str
    sha256: str
    size: int
    path: Path
    facts: Facts = NO_FACTS
    source: str = ""
    """The sha256 of what it was built from (an sdist, a folder); empty for a wheel of the index."""


def vendor(
    pins: Sequence[Pin],
    platform: Platform,
    cache: Cache,
    work: Path,
    say: Say,
    shared: WheelStore | None = None,
) -> tuple[Vendored, ...]:
    """One wheel for each pin, in their order.

    The same pin and target give the same file for as long as the cache lives, and with `shared` on every
    machine that builds. What is missing is downloaded by pip, several at once, which checks the hashes;
    sdists are built into wheels, several at once, once each.

    Raises FapError if something can't be downloaded, built, or does not run on the target.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        questions = [_question(pin, platform, shared) for pin in pins]
        chosen = list(pool.map(lambda question: cache.answer("wheel", question), questions))
        missing = [pin for pin, kept in zip(pins, chosen, strict=True) if kept is None]
        if missing:
            say(f"downloading {len(missing)} of {len(pins)} wheels")
            files = download(missing, platform, work / "download")
            fetching = [
                pool.submit(_choose, cache, pin, platform, file, work, say, shared)
                for pin, file in zip(missing, files, strict=True)
            ]
            fetched = dict(zip(missing, (running.result() for running in fetching), strict=True))
            chosen = [kept or fetched[pin] for pin, kept in zip(pins, chosen, strict=True)]
    return tuple(
        _vendored(cache, pin, kept, platform) for pin, kept in zip(pins, chosen, strict=True) if kept
    )


def remember(cache: Cache, pin: Pin, platform: Platform, shared: WheelStore | None, kept: Kept) -> None:
    """From now on `vendor` answers this pin with these bytes of the cache."""
    cache.record("wheel", _question(pin, platform, shared), kept)


def built_once(
    cache: Cache,
    name: str,
    source: str,
    platform: Platform,
    work: Path,
    say: Say,
    shared: WheelStore | None,
    make: Callable[[Path], Path],
) -> Kept:
    """The wheel of package `name` that `make` builds below the folder it is given, if none is kept yet.

    `source` is the sha256 of all it is built from. Builds differ, so the first stands for this cache, and
    for every machine that uses `shared`.
    """
    work.mkdir()
    hosts = platforms.name(platform)
    wheel = shared.take(name, source, hosts, work) if shared else None
    if wheel:
        return Kept(wheel.name, cache.keep(wheel), source)
    kept = cache.answer("built", f"{source} {hosts}")
    if kept is None:
        made = make(work / "build")
        kept = Kept(made.name, cache.keep(made), source)
        platforms.check_fits(made.name, platform, facts(cache, kept.sha256, made.name, made).glibc)
        kept = cache.record("built", f"{source} {hosts}", kept)
    return _share(cache, name, source, hosts, kept, work, say, shared) if shared else kept


def lock_text(wheels: Sequence[Vendored]) -> bytes:
    """The artifact's requirements.lock: exactly what wheels/ holds."""
    lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels]
    return "".join(sorted(lines)).encode("ascii")


def _question(pin: Pin, platform: Platform, shared: WheelStore | None) -> str:
    where = [shared.name] if shared else []
    return " ".join([pin.name, pin.version, *sorted(pin.sha256s), platforms.name(platform), *where])


def _vendored(cache: Cache, pin: Pin, kept: Kept, platform: Platform) -> Vendored:
    path = cache.path(kept.sha256)
    read = facts(cache, kept.sha256, kept.file, path)
    platforms.check_fits(kept.file, platform, read.glibc)
    return Vendored(
        pin.name, pin.version, kept.file, kept.sha256, path.stat().st_size, path, read, kept.source
    )


def _choose(
    cache: Cache, pin: Pin, platform: Platform, file: Fetched, work: Path, say: Say, shared: WheelStore | None
) -> Kept:
    if file.path.suffix == ".whl":
        kept = Kept(file.path.name, cache.keep(file.path, file.sha256))
    else:

        def make(folder: Path) -> Path:
            say(f"building {pin.name} {pin.version} from its sdist")
            return build_wheel(pin, file.path, folder)

        folder = work / f"build-{pin.name}"
        kept = built_once(cache, pin.name, file.sha256, platform, folder, say, shared, make)
    return cache.record("wheel", _question(pin, platform, shared), kept)


def _share(
    cache: Cache, name: str, source: str, hosts: str, kept: Kept, work: Path, say: Say, shared: WheelStore
) -> Kept:
    mine = work / "mine" / kept.file
    mine.parent.mkdir()
    mine.symlink_to(cache.path(kept.sha256))
    try:
        wheel = shared.offer(name, source, hosts, mine, work)
    except StoreError as error:
        say(f"warning: the wheel of {name} that was built here is not shared: {error.message}")
        return kept
    return Kept(wheel.name, cache.keep(wheel), source)

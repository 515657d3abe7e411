"""Every pin of the lock as a wheel for the platform: from the cache, the index, or built from its sdist."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fapbuild.cache import CachedFile
from fapbuild.locks import Pin
from fapbuild.project import platforms
from fapbuild.wheels.builder import WheelBuilder
from fapbuild.wheels.download import DownloadedFile, download
from fapbuild.wheels.facts import NO_FACTS, WheelFacts, facts
from fapbuild.wheels.sdist import build_wheel


@dataclass(frozen=True)
class VendoredWheel:
    """A wheel that goes into the artifact; `path` is where its bytes are now."""

    name: str
    version: str
    file: str
    sha256: str
    size: int
    path: Path
    facts: WheelFacts = NO_FACTS
    source: str = ""
    """The sha256 of what it was built from (an sdist, a folder); empty for a wheel of the index."""
    bytecode: Path | None = None
    """Where its bytecode is, if the artifact has it."""
    bytecode_sha256: str = ""
    bytecode_size: int = 0
    """In bytes."""


def vendor(pins: Sequence[Pin], builder: WheelBuilder) -> tuple[VendoredWheel, ...]:
    """Return one wheel for each pin, in their order.

    The same pin and platform give the same file as long as the cache lives, and with shared wheels on every
    machine that builds. pip downloads missing files in parallel and checks their hashes; sdists are built
    into wheels, once each.

    Raises FapError if something can't be downloaded or built, or does not run on the platform.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chosen = list(pool.map(builder.cached, pins))
        missing = [pin for pin, wheel in zip(pins, chosen, strict=True) if wheel is None]
        if missing:
            builder.say(f"downloading {len(missing)} of {len(pins)} wheels")
            files = download(
                missing,
                builder.platform,
                builder.work / "download",
                builder.pass_env,
                builder.constraints,
                builder.say,
            )
            fetched = dict(zip(missing, pool.map(partial(_choose, builder), missing, files), strict=True))
            chosen = [wheel or fetched[pin] for pin, wheel in zip(pins, chosen, strict=True)]
    return tuple(_vendored(builder, pin, wheel) for pin, wheel in zip(pins, chosen, strict=True) if wheel)


def requirements_lock(wheels: Sequence[VendoredWheel]) -> bytes:
    """The artifact's requirements.lock: exactly the wheels in wheels/, with their hashes."""
    lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels]
    return "".join(sorted(lines)).encode("ascii")


def _choose(builder: WheelBuilder, pin: Pin, file: DownloadedFile) -> CachedFile:
    if file.path.suffix == ".whl":
        wheel = CachedFile(file.path.name, builder.cache.add(file.path, file.sha256))
    else:

        def build(folder: Path) -> Path:
            builder.say(f"building {pin.name} {pin.version} from its sdist")
            return build_wheel(pin, file.path, folder, builder.pass_env, builder.constraints)

        wheel = builder.build_once(pin.name, file.sha256, build)
    return builder.remember(pin, wheel)


def _vendored(builder: WheelBuilder, pin: Pin, wheel: CachedFile) -> VendoredWheel:
    path = builder.cache.path(wheel.sha256)
    known = facts(builder.cache, wheel.sha256, wheel.file, path)
    platforms.check_fits(wheel.file, builder.platform, known.glibc)
    return VendoredWheel(
        pin.name, pin.version, wheel.file, wheel.sha256, path.stat().st_size, path, known, wheel.source
    )

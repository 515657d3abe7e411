"""Every pin of the lock as a wheel for the target: from the cache, the index, or built from its sdist."""

import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from artifact_store.errors import FapError, VerificationError
from artifact_store.manifest import MTIME, Target
from fapbuild import command, target
from fapbuild.cache import Cache, Kept, sha256_of
from fapbuild.locks import Pin

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


def vendor(pins: Sequence[Pin], platform: Target, cache: Cache, work: Path, say: Say) -> tuple[Vendored, ...]:
    """One wheel for each pin, sorted by file name.

    The same pin and target give the same file for as long as the cache lives. What is missing is
    downloaded in one call of pip, which checks the hashes; sdists are built into wheels once.

    Raises FapError if something can't be downloaded, built, or does not run on the target.
    """
    chosen = {pin: cache.answer("wheel", _question(pin, platform)) for pin in pins}
    missing = [pin for pin in pins if chosen[pin] is None]
    if missing:
        say(f"downloading {len(missing)} of {len(pins)} packages")
        for pin, path in zip(missing, download(missing, work), strict=True):
            chosen[pin] = _choose(cache, pin, platform, path, work, say)
    wheels = [_vendored(cache, pin, kept) for pin, kept in chosen.items() if kept]
    for wheel in wheels:
        target.check_fits(wheel.file, platform)
    return tuple(sorted(wheels, key=lambda wheel: wheel.file))


def lock_text(wheels: Sequence[Vendored]) -> bytes:
    """The artifact's requirements.lock: exactly what wheels/ holds."""
    lines = [f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels]
    return "".join(sorted(lines)).encode("ascii")


def download(pins: Sequence[Pin], work: Path) -> list[Path]:
    """Fetch one file for each pin, in their order, into `work`; pip checks the hashes and so do we."""
    wanted = work / "download.txt"
    wanted.write_text(
        "".join(
            " ".join([f"{pin.name}=={pin.version}", *(f"--hash=sha256:{sha}" for sha in sorted(pin.sha256s))])
            + "\n"
            for pin in pins
        ),
        encoding="ascii",
    )
    folder = work / "download"
    folder.mkdir()
    argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    argv += ["--no-deps", "--require-hashes", "--dest", str(folder), "--requirement", str(wanted)]
    command.run(
        argv,
        cwd=work,
        hint="if a file was removed from the index: fapbuild lock",
    )
    by_sha256 = {sha256_of(path): path for path in folder.iterdir()}
    paths = []
    for pin in pins:
        path = next((by_sha256[sha] for sha in sorted(pin.sha256s) if sha in by_sha256), None)
        if path is None:
            raise VerificationError(
                f"pip downloaded no file of {pin.name} {pin.version} that the lock names",
                hint="fapbuild lock",
            )
        paths.append(path)
    return paths


def _question(pin: Pin, platform: Target) -> str:
    return " ".join([pin.name, pin.version, *sorted(pin.sha256s), target.name(platform)])


def _vendored(cache: Cache, pin: Pin, kept: Kept) -> Vendored:
    path = cache.path(kept.sha256)
    return Vendored(pin.name, pin.version, kept.file, kept.sha256, path.stat().st_size, path)


def _choose(cache: Cache, pin: Pin, platform: Target, path: Path, work: Path, say: Say) -> Kept:
    if path.suffix == ".whl":
        kept = Kept(path.name, cache.keep(path))
    else:
        kept = _built(cache, pin, platform, path, work, say)
    return cache.record("wheel", _question(pin, platform), kept)


def _built(cache: Cache, pin: Pin, platform: Target, sdist: Path, work: Path, say: Say) -> Kept:
    question = f"{sha256_of(sdist)} {target.name(platform)}"
    if kept := cache.answer("built", question):
        return kept
    say(f"building {pin.name} {pin.version} from its sdist")
    wheel = build_wheel(pin, sdist, work / f"build-{pin.name}")
    return cache.record("built", question, Kept(wheel.name, cache.keep(wheel)))


def build_wheel(pin: Pin, sdist: Path, work: Path) -> Path:
    """Build the wheel of an sdist in the new folder `work`; raise FapError if it is not the pin's."""
    work.mkdir()
    source = _unpack(sdist, work / "source")
    out = work / "out"
    command.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(out), str(source)],
        cwd=work,
        env={"SOURCE_DATE_EPOCH": str(MTIME), "PYTHONHASHSEED": "0"},
        hint=f"install what {pin.name} needs to compile (a compiler, headers), or pin a version with a wheel",
    )
    wheels = list(out.glob("*.whl"))
    if len(wheels) != 1:
        raise FapError(f"building {sdist.name} gave {len(wheels)} wheels")
    try:
        name, version, _, _ = parse_wheel_filename(wheels[0].name)
    except InvalidWheelFilename as error:
        raise FapError(f"building {sdist.name} gave {wheels[0].name}: {error}") from error
    if canonicalize_name(name) != pin.name or version != Version(pin.version):
        raise FapError(f"building {sdist.name} gave {wheels[0].name}, which is not {pin.name} {pin.version}")
    return wheels[0]


def _unpack(sdist: Path, into: Path) -> Path:
    try:
        if sdist.suffix == ".zip":
            with zipfile.ZipFile(sdist) as archive:
                archive.extractall(into)  # noqa: S202 (zipfile drops .. and roots)
        else:
            with tarfile.open(sdist) as tar:
                # Python before 3.11.4 has no filters. What is unpacked runs as code in a moment, so they
                # guard no wall; they make a damaged sdist fail early.
                options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(into, **options)  # type: ignore[arg-type]  # noqa: S202
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise FapError(f"{sdist.name} can't be unpacked: {error}", hint="fapbuild lock") from error
    folders = [path for path in into.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise FapError(f"{sdist.name} has {len(folders)} folders at its top, and an sdist has one")
    return folders[0]

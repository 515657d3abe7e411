"""The format `pylock.toml` (PEP 751), to which uv also exports its lock."""

import os
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from packaging.markers import Environment
from packaging.pylock import (
    Package,
    PackageArchive,
    PackageDirectory,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)
from packaging.tags import Tag
from packaging.utils import parse_wheel_filename

from artifact_store.core import toml_text
from artifact_store.core.errors import UsageError
from fapbuild.locks.pins import Origin, Pin, check_secret, git_reference, indexes, sorted_pins


def read(
    text: str,
    name: str,
    folder: Path,
    environment: Mapping[str, str],
    extras: Sequence[str] = (),
    groups: Sequence[str] = (),
    *,
    exported: bool = False,
) -> tuple[Pin, ...]:
    """Return the pins that the lock `name` selects for a platform whose markers see `environment`.

    `folder` is the project's. Paths are relative to the lock, or to that folder if it was `exported`.
    Default groups are always included.
    Raises UsageError, naming the lock and the place in it, for anything that is not PEP 751, or a platform
    that the lock was not made for.
    """
    try:
        lock = Pylock.from_dict(toml_text.loads(text))
        _check_names(lock, name, extras, groups)
        chosen = lock.select(
            environment=cast(Environment, dict(environment)),
            tags=_all_tags(lock),
            extras=extras,
            dependency_groups=[*(lock.default_groups or ()), *groups],
        )
        pins = [
            _pin(package, name, folder if exported else folder / posixpath.dirname(name), folder)
            for package, _ in chosen
        ]
    except PylockSelectError as error:
        raise UsageError(
            f"{name}: {error}", hint="pack with the Python that the lock was made for, or lock for this one"
        ) from error
    except (PylockValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{name} can't be read: {error}", hint="recreate it with the tool that wrote it"
        ) from error
    return sorted_pins(pins, name, "recreate it with the tool that wrote it")


def _check_names(lock: Pylock, name: str, extras: Sequence[str], groups: Sequence[str]) -> None:
    for kind, names, known in (
        ("extra", extras, lock.extras),
        ("group", groups, lock.dependency_groups),
    ):
        for chosen in names:
            if known is not None and chosen not in known:
                raise UsageError(
                    f"{name} has no {kind} {chosen!r}",
                    hint=f"it has: {', '.join(known) or 'none'}",
                )


def _all_tags(lock: Pylock) -> list[Tag]:
    """Every tag in the lock: which wheel fits the platform is decided at the download."""
    names = {wheel.filename for package in lock.packages for wheel in package.wheels or ()}
    return sorted({tag for name in names for tag in parse_wheel_filename(name)[3]}, key=str)


def _pin(package: Package, name: str, start: Path, folder: Path) -> Pin:
    where = f"{name}: {package.name}"
    files: list[PackageWheel | PackageSdist | PackageArchive] = [*(package.wheels or ())]
    if package.sdist:
        files.append(package.sdist)
    origin = None
    if package.vcs:
        if package.vcs.type != "git" or not package.vcs.url:
            raise UsageError(f"{where} comes from {package.vcs.type}, but only git is supported")
        origin = git_reference(package.vcs.url, package.vcs.commit_id, package.vcs.subdirectory or "", where)
    elif package.directory:
        origin = _folder(package.directory, start, folder)
    elif package.archive:
        files.append(package.archive)
        origin = _archive(package.archive, start, folder, where)
    hashes = frozenset(file.hashes["sha256"].lower() for file in files if "sha256" in file.hashes)
    if files and not hashes:
        raise UsageError(f"{where} has no sha256", hint="recreate it with the tool that wrote it")
    if package.index:
        check_secret(package.index, where)
    if not package.version and not origin:
        raise UsageError(f"{where} has no version")
    return Pin(
        package.name,
        str(package.version or ""),
        frozenset(),
        hashes,
        origin,
        index=next(iter(indexes([package.index or ""])), ""),
    )


def _folder(directory: PackageDirectory, start: Path, folder: Path) -> Origin:
    return Origin(
        path=_project_path(posixpath.join(directory.path, directory.subdirectory or ""), start, folder)
    )


def _archive(archive: PackageArchive, start: Path, folder: Path, where: str) -> Origin:
    if not archive.url:
        return Origin(path=_project_path(archive.path or "", start, folder))
    check_secret(archive.url, where)
    return Origin(archive.url + (f"#subdirectory={archive.subdirectory}" if archive.subdirectory else ""))


def _project_path(path: str, start: Path, folder: Path) -> str:
    """Return a path, absolute or relative to `start`, as a path relative to the project's folder."""
    return Path(os.path.relpath(start / path, folder)).as_posix()

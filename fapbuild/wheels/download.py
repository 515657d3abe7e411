"""Downloads files from the index: several pips in parallel, each with a share of the pins."""

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from artifact_store.artifact.manifest import Platform
from artifact_store.core.errors import FapError, VerificationError
from fapbuild import command, isolation
from fapbuild.cache import sha256_of
from fapbuild.locks import Pin
from fapbuild.project import platforms
from fapbuild.report import Say

_SHARE = 8
"""The fewest pins that are worth the start of another pip."""
_MOST_PIPS = 6
"""pip starts slowly, so more pips than cores do not pay (but three do, as each waits a third of its time)."""
_RETRIES = "2"
"""How often pip asks an index again that does not answer, unless the user says so."""
_HAS_NONE = "No matching distribution found"


@dataclass(frozen=True)
class DownloadedFile:
    """A file from the index, and its sha256."""

    path: Path
    sha256: str


def download(
    pins: Sequence[Pin],
    platform: Platform,
    work: Path,
    pass_env: Collection[str] = (),
    constraints: str = "",
    say: Say = print,
) -> list[DownloadedFile]:
    """Download one file for each pin, in their order, below the new folder `work`.

    pip checks the hashes, and so do we. It runs code of sdists to read their names; `pass_env` names
    variables for that. For a platform that this interpreter can't build for, only wheels are accepted.

    Raises FapError if pip fails, or names every package without a wheel.
    """
    work.mkdir()
    pip = isolation.pip(os.environ, pass_env)
    most = min(max(os.cpu_count() or 1, 3), _MOST_PIPS)
    count = max(1, min(len(pins) // _SHARE, most))
    groups: dict[tuple[str, ...], list[Pin]] = {}
    for pin in pins:
        groups.setdefault(_places(pin), []).append(pin)
    shares = [
        share
        for group in groups.values()
        for share in _shares(group, max(1, count * len(group) // len(pins)))
    ]
    with ThreadPoolExecutor(len(shares)) as pool:
        running = [
            pool.submit(_share, share, platform, work / str(number), pip, constraints, say)
            for number, share in enumerate(shares)
        ]
        missing = [pin for share in running for pin in share.result()]
        if missing:
            raise _no_wheels(missing, platform)
        paths = [path for path in work.glob("*/*.*") if path.name != _REQUIREMENTS]
        by_sha256 = dict(zip(pool.map(sha256_of, paths), paths, strict=True))
    files = []
    for pin in pins:
        sha256 = next((sha for sha in sorted(pin.sha256s) if sha in by_sha256), "")
        if not sha256:
            raise VerificationError(
                f"pip downloaded no file of {pin.name} {pin.version} that the lock names",
                hint="run `fapbuild lock`",
            )
        files.append(DownloadedFile(by_sha256[sha256], sha256))
    return files


_REQUIREMENTS = "requirements.txt"


def _shares(pins: Sequence[Pin], count: int) -> list[list[Pin]]:
    """Divide the pins about equally. No share has two pins of one name, which pip refuses."""
    shares: list[list[Pin]] = [[] for _ in range(count)]
    for number, pin in enumerate(pins):
        if all(pin.name != other.name for other in shares[number % count]):
            shares[number % count].append(pin)
        else:
            shares.append([pin])
    return shares


def _places(pin: Pin) -> tuple[str, ...]:
    """The options that tell pip where to look for the package: an index of the lock replaces all others."""
    return (
        *([f"--index-url {pin.index}"] if pin.index else []),
        *(f"--extra-index-url {url}" for url in pin.indexes),
        *(f"--find-links {place}" for place in pin.find_links),
    )


def _share(
    pins: Sequence[Pin], platform: Platform, folder: Path, pip: Sequence[str], constraints: str, say: Say
) -> list[Pin]:
    """Download these, all from the same places, into the new `folder`; return those that have no file."""
    folder.mkdir(exist_ok=True)
    silent: set[str] = set()

    def say_unanswered(line: str) -> None:
        from fapbuild import pip_errors  # only for what pip complains of

        if (host := pip_errors.unanswered(line)) and host not in silent:
            silent.add(host)
            say(f"{host} does not answer; pip tries it again")

    requirements = folder / _REQUIREMENTS
    places = (f"{option}\n" for option in _places(pins[0]))
    requirements.write_text("".join([*places, *map(_line, pins)]), encoding="utf-8")
    argv = ["pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
    argv += ["--no-deps", "--require-hashes", *_platform_options(platform), "--dest", str(folder)]
    try:
        command.run(
            [*argv, "--requirement", str(requirements)],
            start=pip,
            cwd=folder,
            env={
                "PIP_RETRIES": os.environ.get("PIP_RETRIES", _RETRIES),
                **({"PIP_BUILD_CONSTRAINT": constraints} if constraints else {}),
            },
            on_error_line=say_unanswered,
        )
    except command.ProgramError as error:
        if platforms.builds_here(platform) or _HAS_NONE not in error.message:
            from fapbuild import pip_errors

            release = platforms.marker_environment(platform)["python_full_version"]
            raise FapError(error.message, hint=pip_errors.hint(error.output, release)) from error
        if len(pins) == 1:
            return list(pins)
        # pip stops at the first one without a file, and a person wants to know all of them.
        half = len(pins) // 2
        return [
            pin
            for part in (pins[:half], pins[half:])
            for pin in _share(part, platform, folder, pip, constraints, say)
        ]
    return []


def _line(pin: Pin) -> str:
    return (
        " ".join([f"{pin.name}=={pin.version}", *(f"--hash=sha256:{sha}" for sha in sorted(pin.sha256s))])
        + "\n"
    )


def _platform_options(platform: Platform) -> list[str]:
    """Options for a platform other than this interpreter's (pip's user guide: pip download)."""
    if platform == platforms.this_machine():
        return []
    release = platforms.marker_environment(platform)["python_full_version"]
    options = [f"--platform={name}" for name in platforms.platform_tags(platform)]
    options += ["--implementation=cp", f"--abi={platform.abi}", f"--python-version={release}"]
    return options if platforms.builds_here(platform) else [*options, "--only-binary=:all:"]


def _no_wheels(pins: Sequence[Pin], platform: Platform) -> FapError:
    names = ", ".join(f"{pin.name} {pin.version}" for pin in pins)
    here = platforms.this_machine()
    hosts = f"{platform.python} {platform.platform} (glibc {platform.glibc})"
    return FapError(
        f"for {hosts} the index has no wheel of: {names}",
        hint="choose versions with a wheel, or pack on such a machine: "
        f"this one can build sdists only for {here.python} {here.platform}",
    )

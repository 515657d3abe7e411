"""Builds wheels from source distributions (PEP 517), with `python -m build` in its own environment."""

import os
import tarfile
import zipfile
from collections.abc import Collection
from pathlib import Path

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from artifact_store.artifact.manifest import MTIME
from artifact_store.core.errors import FapError
from fapbuild import command, isolation
from fapbuild.locks import Pin


def environment(work: Path, constraints: str = "") -> dict[str, str]:
    """The variables of a build in the folder `work`, so that its result is the same in every folder.

    `constraints` is a file with constraints of build requirements, or empty: `build` reads PIP_CONSTRAINT,
    and pip PIP_BUILD_CONSTRAINT.
    """
    flags = f"{os.environ.get('CFLAGS', '')} -ffile-prefix-map={work}=/fapbuild".strip()
    limits = dict.fromkeys(("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"), constraints) if constraints else {}
    return {"SOURCE_DATE_EPOCH": str(MTIME), "PYTHONHASHSEED": "0", "CFLAGS": flags, **limits}


def build_wheel(
    pin: Pin, sdist: Path, work: Path, pass_env: Collection[str] = (), constraints: str = ""
) -> Path:
    """Build the wheel of an sdist in the new folder `work`; `pass_env` names variables that its code gets.

    Raises UsageError if one of them is not set, FapError if that fails, or the wheel has another name or
    version than the pin.
    """
    work.mkdir(parents=True)
    source = _unpack(sdist, work / "source")
    wheel = build_folder(source, work / "out", pin.name, pass_env, constraints)
    name, version, _, _ = parse_wheel_filename(wheel.name)
    if canonicalize_name(name) != pin.name or version != Version(pin.version):
        raise FapError(f"building {sdist.name} gave {wheel.name}, which is not {pin.name} {pin.version}")
    return wheel


def build_folder(
    source: Path, out: Path, name: str, pass_env: Collection[str], constraints: str = ""
) -> Path:
    """Build the wheel of the project in the folder `source` into the new folder `out`.

    `name` is for error messages. Raises FapError if the build fails or does not give exactly one wheel.
    """
    command.run(
        ["build", "--wheel", "--outdir", str(out), str(source)],
        start=isolation.pip(os.environ, pass_env),
        cwd=source,
        env=environment(source.parent, constraints),
        hint=f"install what {name} needs to compile (a compiler, headers), or pin a version with a wheel",
    )
    wheels = list(out.glob("*.whl"))
    if len(wheels) != 1:
        raise FapError(f"building {name} gave {len(wheels)} wheels")
    try:
        parse_wheel_filename(wheels[0].name)
    except InvalidWheelFilename as error:
        raise FapError(f"building {name} gave {wheels[0].name}: {error}") from error
    return wheels[0]


def _unpack(sdist: Path, into: Path) -> Path:
    try:
        if sdist.suffix == ".zip":
            with zipfile.ZipFile(sdist) as archive:
                for item in archive.infolist():
                    path = Path(archive.extract(item, into))  # zipfile drops .. and roots
                    if (item.external_attr >> 16) & 0o100 and path.is_file():
                        path.chmod(0o755)
        else:
            with tarfile.open(sdist) as tar:
                # Python before 3.11.4 has no filters. The unpacked code is run in a moment anyway, so they
                # are no protection; they make a damaged sdist fail early.
                options = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
                tar.extractall(into, **options)  # type: ignore[arg-type]  # noqa: S202
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise FapError(f"{sdist.name} can't be unpacked: {error}", hint="run `fapbuild lock`") from error
    folders = [path for path in into.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise FapError(f"{sdist.name} has {len(folders)} folders at its top, but an sdist has exactly one")
    return folders[0]

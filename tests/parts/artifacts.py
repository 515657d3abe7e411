"""Artifacts of given contents, by the real writer and without a build."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

from artifact_store.artifact import installing
from artifact_store.artifact.manifest import BYTECODE
from fapbuild.archive.members import TarEntry, plan_members
from fapbuild.archive.writer import write
from fapbuild.cache import Cache
from tests.parts.tgz import manifest_of

CLICK = {"click-8.0-py3-none-any.whl": b"not really a wheel"}


def lock_of(wheels: Mapping[str, bytes]) -> bytes:
    """The requirements.lock of wheels, by file name."""
    pins = [
        "{}=={} --hash=sha256:{}\n".format(*file.split("-")[:2], hashlib.sha256(data).hexdigest())
        for file, data in wheels.items()
    ]
    return "".join(sorted(pins)).encode()


def artifact(
    path: Path,
    files: Mapping[str, bytes],
    wheels: Mapping[str, bytes] = CLICK,
    *,
    version: str = "1",
    lock: bytes | None = None,
    bytecode: Mapping[str, bytes] | None = None,
    said: Mapping[str, object] | None = None,
) -> Path:
    """Write an artifact of the app `shop` to `path`; the manifest has what is true, or is `said`. `bytecode`
    is that of wheels, by file."""
    lock = lock_of(wheels) if lock is None else lock
    held = {**files, **({"requirements.lock": lock} if lock else {})}
    ordered = dict(sorted(wheels.items()))
    manifest = manifest_of(dict(sorted(held.items())), ordered, app="shop", version=version, members=[])
    ours = installing.known_wheels()[:1] if ".fap/installer/__main__.py" in files else ()
    fields: dict[str, object] = {
        "lock_digest": hashlib.sha256(lock).hexdigest(),
        "installer": ours,
        **(said or {}),
    }
    contents = {**held, **{f"wheels/{file}": data for file, data in wheels.items()}}
    compiled = bytecode or {}
    contents |= {f"wheels/{file}{BYTECODE}": data for file, data in compiled.items()}
    listed = tuple(
        msgspec.structs.replace(
            wheel, bytecode=hashlib.sha256(data).hexdigest() if data else "", bytecode_size=len(data)
        )
        for wheel in manifest.wheels
        for data in [compiled.get(wheel.file, b"")]
    )
    members = plan_members(TarEntry(name, 0o644, len(data), data) for name, data in contents.items())
    fields = {"wheels": listed, **fields}
    complete = lambda index: msgspec.structs.replace(manifest, **fields, members=index)  # noqa: E731
    write(members, complete, path, Cache(path.parent / "cache"))
    return path


def project_file(*outputs: str) -> bytes:
    """A pyproject.toml with one asset step that makes `outputs`."""
    step = f'[[tool.fapbuild.assets]]\nname = "front"\nrun = ["make"]\noutputs = {json.dumps(outputs)}\n'
    return f'[tool.fapbuild]\napp = "shop"\n{step}'.encode()

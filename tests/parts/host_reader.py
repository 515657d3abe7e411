"""The reader of hosts, in this process: fresh hosts, and hosts that have the packages of an artifact."""

import sys
import zlib
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType

from faprelease.steps.host_files import read_program

Tree = dict[str, tuple[str, bytes]]
"""The kind and contents of each file (`file`, `program`) and link, by path."""


@cache
def unpacker() -> ModuleType:
    """The module `unpack`, with the modules that it needs, loaded by name as on a host."""
    for name in ("fetch", "reader", "unpack"):
        module = sys.modules[name] = ModuleType(name)
        exec(compile(read_program(name), name, "exec"), module.__dict__)
    return sys.modules["unpack"]


def tree_of(folder: Path) -> Tree:
    """All files and links below the folder."""
    tree: Tree = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            tree[name] = "link", str(path.readlink()).encode()
        elif path.is_file():
            tree[name] = "program" if path.stat().st_mode & 0o100 else "file", path.read_bytes()
    return tree


def unpack(archive: Path, folder: Path, state: Path | None = None) -> Tree | str:
    """The tree that a host makes of the archive in the new folder, or why it refuses it.

    `state` has what a host keeps; without it, the host is fresh.
    """
    program = unpacker()
    folder.mkdir()
    packages = program.InstalledPackages(str(state or ""), str(state / "cache") if state else "")
    try:
        program.write(str(archive), str(folder), packages, "")
    except (sys.modules["reader"].RefusedError, OSError) as error:
        return f"refused: {error}"
    return tree_of(folder)


def unpack_members(archive: Path, folder: Path, wheels: set[str]) -> Tree | str:
    """The tree that a host with the root makes of the members that it needs, with these wheels alone; or why
    it refuses them, as `unpack`."""
    program, reader = unpacker(), sys.modules["reader"]
    folder.mkdir()
    data, inflater = archive.read_bytes(), zlib.decompressobj(31)
    text = inflater.decompress(data)
    rest = inflater.unused_data
    part = folder.with_suffix(".part")
    try:
        manifest = text[text.index(b"{") :].rstrip(b"\0")
        members = reader.Manifest(manifest, reader.identity(manifest), wheels).members
        for start, length, digest in members:
            if sha256(rest[start : start + length]).hexdigest() != digest:
                return "refused: a member has another sha256"
        part.write_bytes(
            data[: len(data) - len(rest)]
            + b"".join(rest[start : start + length] for start, length, _ in members)
        )
        program.write(str(part), str(folder), program.InstalledPackages("", ""), "", wheels)
    except (reader.RefusedError, OSError) as error:
        return f"refused: {error}"
    return tree_of(folder)


def keep_packages(state: Path, lock: bytes, bytecode: Mapping[str, str] | None = None) -> Path:
    """Make the folders of a host that has the packages of this lock. `bytecode` has the sha256 of that of
    wheels, by their sha256."""
    (state / "envs" / f"{sha256(lock).hexdigest()[:32]}-0123456789abcdef-3.11.7").mkdir(parents=True)
    for line in lock.decode().splitlines():
        wheel = line.rpartition(":")[2]
        parts = [wheel, "0123456789abcdef", (bytecode or {}).get(wheel, ""), "cp311", "2"]
        (state / "cache/wheels" / "-".join(filter(None, parts))).mkdir(parents=True)
    return state

"""Checks that wheels of an unpacked artifact, and their bytecode, are those of its manifest and its lock."""

import hashlib
import os

from refusal import RefusedError

BYTECODE = ".bytecode"
"""What follows the name of a wheel in that of its bytecode."""


def check_wheels(root, listed, has_cache=False):
    """The wheels of an unpacked artifact as (name, sha256, sha256 of the bytecode, empty for none): those in
    its folder wheels/, or all that are `listed` in its manifest if that folder is missing. A host that
    `has_cache` unpacked only those that it lacked.

    Raises RefusedError unless they are exactly those of the manifest and of requirements.lock.
    """
    folder = os.path.join(root, "wheels")
    wheels = {wheel["file"]: wheel["sha256"] for wheel in listed}
    compiled = {wheel["file"]: wheel.get("bytecode") or "" for wheel in listed}
    if os.path.isdir(folder):
        found = set(os.listdir(folder))
        _check_bytecode(folder, found, compiled)
        names = sorted(found - {file + BYTECODE for file in compiled if compiled[file]})
        missing, foreign = set(wheels) - set(names), set(names) - set(wheels)
        if missing and not has_cache:
            raise RefusedError(f"wheels/{min(missing)} is missing: was the whole artifact unpacked?", 6)
        if foreign:
            raise RefusedError(f"wheels/{min(foreign)} does not belong to this artifact: remove it", 6)
        wheels.update((name, sha256_of(os.path.join(folder, name))) for name in names)
    for name, digest in wheels.items():
        digits = digest + compiled[name]
        if (
            "/" in name
            or len(digest) != 64
            or len(digits) not in (64, 128)
            or digits.strip("0123456789abcdef")
        ):
            raise RefusedError(f"the manifest lists a wheel that can't be one: {name!r}", 6)
    with open(os.path.join(root, "requirements.lock"), encoding="ascii") as file:
        pins = [line.partition(" --hash=sha256:") for line in file.read().splitlines()]
    lock = {digest: pin for pin, _, digest in pins}
    for name in sorted(wheels):
        if lock.pop(wheels[name], None) is None:
            raise RefusedError(f"wheels/{name} does not match requirements.lock: fetch the artifact again", 6)
    if lock:
        raise RefusedError(f"the wheel of {min(lock.values())} is missing: fetch the artifact again", 6)
    return [(name, wheels[name], compiled[name]) for name in sorted(wheels)]


def _check_bytecode(folder, found, compiled):
    """Raise RefusedError unless the bytecode of each wheel that is there is what the manifest says."""
    for name, digest in compiled.items():
        path = os.path.join(folder, name + BYTECODE)
        if digest and name in found and not (os.path.isfile(path) and sha256_of(path) == digest):
            raise RefusedError(f"wheels/{name}{BYTECODE} is missing or damaged: fetch the artifact again", 6)


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()

"""Whether this host can run an artifact: asked when its manifest is there, before the rest is fetched.

For members.py. An artifact with an installer of its own may bring what it needs, so it is not asked.
"""

import os
import sys

import machine
import pythons
from refusal import RefusedError


def check(manifest):
    """Raise RefusedError, with the command that fixes it, unless Python, processor, glibc and libraries are
    there that a decoded manifest of `fap/2` needs."""
    try:
        if manifest.get("installer"):
            name = f"{manifest['app']} {manifest['version']}"
            _check(name, manifest["target"], manifest.get("libraries", ()))
    except (KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"the manifest can't be read: {error!r}") from None


def _check(name, platform, libraries):
    python = platform["python"]
    wanted, found = f"{python[2:3]}.{python[3:]}", sys.executable
    if wanted != "%d.%d" % sys.version_info[:2]:
        found, others = pythons.find(wanted)
        if not found:
            have = ", ".join(f"{path} is {version}" for path, version in others.items())
            raise RefusedError(
                f"{name} needs Python {wanted}, which is not on this host: {have or 'there is none'}\n"
                f"install python{wanted}, or {_pack()}"
            )
    try:
        machine.check_system(platform)
    except RefusedError as error:
        raise RefusedError(f"{name} can't run on this host: {error}\n{_pack()}") from None
    machine.check_libraries(libraries, found)


def _pack():
    """The command that packs for this host."""
    glibc = machine.libc()[1].replace(".", "_")
    python = "cp%d%d" % sys.version_info[:2]
    target = f"{python}-manylinux_{glibc or '2_17'}_{os.uname().machine}"
    return f"pack for this host: fapbuild pack --target {target}"

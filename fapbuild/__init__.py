"""Builds artifacts: a commit of a Python web app becomes one immutable file. It knows no hosts.

    from pathlib import Path

    import fapbuild

    for finding in fapbuild.check(Path("shop")):
        print(finding.verdict, finding.check, finding.says)
    artifact = fapbuild.pack(fapbuild.Request(Path("shop"), version="1.0", output=Path("dist")))
    assert fapbuild.verify(artifact.path).digest == artifact.digest
    print(artifact.path, artifact.digest)

All three raise errors of the family `artifact_store.core.errors.FapError`. Nothing is imported before its
first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fapbuild.inspecting.verify import verify
    from fapbuild.onboarding.check import check
    from fapbuild.packing.pack import Request, pack

__all__ = ["Request", "check", "pack", "verify"]

_MODULES = {
    "Request": "fapbuild.packing.pack",
    "check": "fapbuild.onboarding.check",
    "pack": "fapbuild.packing.pack",
    "verify": "fapbuild.inspecting.verify",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

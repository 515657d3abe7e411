"""Release an artifact to hosts, roll back, and see what runs where. It builds nothing.

The command `faprelease` is made of these functions, and they can be called from Python too:

    from pathlib import Path
    from faprelease import FapError, Report, Request, release

    request = Request(file=Path("deploy.yml"), stage="staging", role=None, flags={}, confirmed=True)
    try:
        release(request, Report())
    except FapError as error:
        print(error.message, error.hint, error.exit_code, sep="\\n")

Each is imported when it is first used. Authors of plugins import `faprelease.plugin`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from faprelease.errors import FapError
    from faprelease.report.report import Report
    from faprelease.request import Request
    from faprelease.verbs.release import release, restart, rollback
    from faprelease.verbs.status import status
    from faprelease.verbs.sync import sync

    __version__: str

__all__ = [
    "FapError",
    "Report",
    "Request",
    "__version__",
    "release",
    "restart",
    "rollback",
    "status",
    "sync",
]

_HOMES = {
    "FapError": "faprelease.errors",
    "Report": "faprelease.report.report",
    "Request": "faprelease.request",
    "release": "faprelease.verbs.release",
    "restart": "faprelease.verbs.release",
    "rollback": "faprelease.verbs.release",
    "status": "faprelease.verbs.status",
    "sync": "faprelease.verbs.sync",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("fapkit")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""The errors of a release; the others are in `artifact_store.core.errors`."""

from collections.abc import Iterable

from artifact_store.core.errors import FapError, UnreachableError, UsageError, VerificationError

__all__ = [
    "ConfigError",
    "FapError",
    "FrozenError",
    "HeldBackError",
    "InterruptedRunError",
    "LockedError",
    "PartlyDoneError",
    "ReleaseFailedError",
    "RolledBackError",
    "UnreachableError",
    "UsageError",
    "VerificationError",
    "together",
]


class ConfigError(UsageError):
    """deploy.yml or a flag is wrong: exit 2."""


def together(errors: Iterable[ConfigError]) -> ConfigError:
    """Return one error for all of them, each on a line with its hint; a single error is returned
    unchanged."""
    unique = list({error.message: error for error in errors}.values())
    if len(unique) == 1:
        return unique[0]
    lines = [f"{error.message} ({error.hint})" for error in unique]
    return ConfigError(
        "\n".join(lines), hint=f"fix these {len(unique)} problems; all keys: faprelease config --keys"
    )


class LockedError(FapError):
    """Someone else is releasing to one of the hosts: exit 5."""

    exit_code = 5


class FrozenError(LockedError):
    """Releases to the stage are frozen until `faprelease unfreeze`: exit 5."""


class ReleaseFailedError(FapError):
    """A step failed before anything was published: exit 1."""


class RolledBackError(FapError):
    """A step failed after publishing, and every host was rolled back to its old release: exit 4."""

    exit_code = 4


class PartlyDoneError(FapError):
    """The hosts are not all in one state: exit 3."""

    exit_code = 3


class HeldBackError(FapError):
    """A host that converges keeps its release until something changes: exit 3."""

    exit_code = 3


class InterruptedRunError(FapError):
    """Someone pressed Ctrl-C, and the run was undone: exit 130."""

    exit_code = 130

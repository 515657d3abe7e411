"""Which mistakes in deploy.yml stop a command. Pure.

A release needs the whole file to be right. A rollback needs nothing of other stages, nor what only goes into
new releases; a command that only looks needs still less.
"""

from dataclasses import dataclass
from typing import Literal

from faprelease.errors import ConfigError

Use = Literal["release", "act", "look", "reach"]
"""What a command does with deploy.yml: make releases; publish or restart those that are there; look at what
runs; or only reach the hosts and the folders there."""

_USES: dict[str, Use] = {
    "release": "release",
    "rollback": "act",
    "restart": "act",
    "freeze": "reach",
    "unfreeze": "reach",
    "releases": "reach",
    "history": "reach",
}
_TO_REACH = frozenset(
    [
        "app_name",
        "connection",
        "current_path",
        "hosts",
        "path",
        "port",
        "releases_path",
        "shared_path",
        "sudo_user",
        "use_ssh_config",
        "user",
    ]
)
_FOR_NEW_RELEASES = frozenset(
    [
        "cache_path",
        "environment",
        "environment_file",
        "install_network",
        "install_paths",
        "keep_releases",
        "linked_dirs",
        "linked_files",
        "preflight",
        "release_command",
        "release_command_seconds",
        "shared_writable",
        "store",
        "store_policy",
        "store_signers",
    ]
)


class SettingError(ConfigError):
    """A wrong value of a key. It is `usable` if it is only wrong together with other values."""

    def __init__(self, message: str, *, hint: str, key: str, usable: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.key, self.usable = key, usable


@dataclass(frozen=True)
class Mistake:
    """Something wrong in deploy.yml, in a stage and role (empty: of all)."""

    error: ConfigError
    stage: str = ""
    role: str = ""


@dataclass(frozen=True)
class Needs:
    """What a command needs of deploy.yml: it is about a stage, and a role (empty: all roles)."""

    use: Use = "release"
    stage: str = ""
    role: str = ""

    @property
    def is_acting(self) -> bool:
        """Whether processes or files on hosts change."""
        return self.use in ("release", "act")

    def are_broken_by(self, mistake: Mistake) -> bool:
        """Whether the command can't run with this mistake in the file."""
        if self.use == "release":
            return True
        if mistake.stage and mistake.stage != self.stage:
            return False
        if self.role and mistake.role and mistake.role != self.role:
            return False
        if isinstance(mistake.error, SettingError):
            return self.are_broken_by_key(mistake.error.key)
        # An unknown key can be the misspelling of one that the command needs.
        return self.is_acting

    def are_broken_by_key(self, key: str) -> bool:
        """Whether the command can't run with a wrong value of this key."""
        if self.use == "release":
            return True
        if self.use == "reach":
            return key in _TO_REACH
        return key not in _FOR_NEW_RELEASES and not key.startswith(("assets_", "curl_"))


EVERYTHING = Needs()


def use_of(verb: str) -> Use:
    """What a verb does with deploy.yml."""
    return _USES.get(verb, "look")

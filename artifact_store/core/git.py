"""How git is run in a repository that may be someone else's: its own configuration starts no program.

Hooks and the file system monitor are switched off, and so is the network (a partial clone would fetch with
the commands of its `.git/config`). Filters can't be switched off without changing the result, so `programs`
names those that the repository itself configures; filters of the user's own configuration run.
"""

import re
from collections.abc import Iterator, Sequence

from artifact_store.core.checkouts import all_are_trusted

LIST_CONFIG = ("config", "--list", "--show-scope", "-z")
"""The arguments whose output `programs` reads (git-config(1))."""
_OFF = (
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    # A folder of a commit can look like a bare repository, with a configuration of its own.
    *("-c", "safe.bareRepository=explicit"),
)
_OWN_SCOPES = ("local", "worktree")
_PROGRAM = re.compile(r"filter\..+\.(clean|process)|hook\..+\.command|lfs\.extension\..+")
# What `git lfs install --local` writes, as actions/checkout does.
_LFS = re.compile(r"git-lfs (clean|filter-process)( -- %f)?")


def command(*arguments: str) -> list[str]:
    """The command line of git."""
    return ["git", *_OFF, *arguments]


def without_options(argv: Sequence[str]) -> list[str]:
    """A command line without the options before the subcommand, for people: `git status …`."""
    name, *rest = argv
    while rest and rest[0].startswith("-"):
        rest = rest[2:] if rest[0] == "-c" else rest[1:]
    return [name, *rest]


def environment() -> dict[str, str]:
    """The variables to add for git in a repository."""
    return {} if all_are_trusted() else {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}


def outside() -> dict[str, str]:
    """The variables to add for git that asks another repository: it reads no configuration of this one."""
    return {"GIT_DIR": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}


def programs(listing: bytes) -> tuple[str, ...]:
    """The settings of the repository itself (`filter.x.clean=PROGRAM`) that run a program when git reads the
    files of the working tree; none if every checkout is trusted. `listing` is the output of LIST_CONFIG."""
    if all_are_trusted():
        return ()
    return tuple(
        f"{key}={value}"
        for scope, key, value in _settings(listing)
        if scope in _OWN_SCOPES and _PROGRAM.fullmatch(key) and not _LFS.fullmatch(value)
    )


def _settings(listing: bytes) -> Iterator[tuple[str, str, str]]:
    words = iter(listing.decode("utf-8", "replace").split("\0"))
    for scope, setting in zip(words, words, strict=False):
        key, _, value = setting.partition("\n")
        yield scope, key, value

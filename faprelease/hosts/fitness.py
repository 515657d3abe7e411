"""The requirements of a release on its host. Pure: they are checked against the host's state."""

import shlex
from collections.abc import Iterable, Iterator

from artifact_store.core.hints import Hint
from faprelease.config.target import Target
from faprelease.errors import FapError
from faprelease.hosts.state import HostState

LEAST_FREE = 100 * 1024 * 1024
"""The free disk space that a release requires, in bytes."""


def refuse_unfit(hosts: Iterable[tuple[Target, HostState]]) -> None:
    """Raise one FapError for every unmet requirement of the hosts, with the commands that fix them."""
    _refuse(
        problem
        for target, state in hosts
        for problem in (*problems(target, state), *missing_files(target, state), *seen(target, state))
    )


def refuse_unable(hosts: Iterable[tuple[Target, HostState]]) -> None:
    """Raise one FapError for every host on which processes can't be restarted."""
    _refuse(problem for target, state in hosts for problem in seen(target, state))


def _refuse(problems: Iterable[FapError]) -> None:
    unmet = list(problems)
    if unmet:
        raise FapError(
            "\n".join(problem.message for problem in unmet),
            hint=Hint.lines(problem.hint for problem in unmet),
        )


def problems(target: Target, state: HostState) -> Iterator[FapError]:
    """The unmet requirements of a host, without missing linked files."""
    layout, label = target.layout, target.place
    if state.unwritable:
        yield FapError(f"{label}: can't write to {state.unwritable}", hint=how_to_own(target))
    if state.blocked:
        yield FapError(
            f"{label}: {state.blocked} is not a link",
            hint=f"a release replaces it; move it away, on {target.host}: {_move_away(state.blocked)}",
        )
    if lacking := {"curl", "python3"} - state.tools:
        yield FapError(
            f"{label}: {' and '.join(sorted(lacking))} not found",
            hint=f"on {target.host}: sudo apt-get install {' '.join(sorted(lacking))}",
        )
    if state.free < LEAST_FREE:
        yield FapError(
            f"{label}: only {state.free // 1024**2} MiB free for {layout.path}",
            hint=f"free at least {LEAST_FREE // 1024**2} MiB, or keep fewer releases (keep_releases)",
        )


def seen(target: Target, state: HostState) -> Iterator[FapError]:
    """The problems that plugins saw, with what to do about them."""
    for problem in state.problems:
        message, _, hint = problem.partition("\n")
        if message.endswith(":"):  # the next line belongs to it
            message, hint = problem, ""
        yield FapError(f"{target.place}: {message}", hint=hint)


def missing_files(target: Target, state: HostState) -> Iterator[FapError]:
    """The problem of missing linked files, with the commands that copy them there."""
    if state.missing:
        yield FapError(
            f"{target.place}: linked files are missing in {target.layout.shared}: {', '.join(state.missing)}",
            hint="\n".join(_how_to_provide(target, name) for name in state.missing),
        )


def _move_away(path: str) -> str:
    return f"mv {shlex.quote(path)} {shlex.quote(f'{path}.old')}"


def how_to_own(target: Target) -> str:
    """The command that creates the folder of an app for its owner."""
    user, path = target.settings.sudo_user, shlex.quote(target.layout.path)
    if target.settings.connection == "local":
        return f'sudo install -d -o "$(id -un)" {path}'
    return f"on {target.host}: sudo install -d -o {user} {path}"


def _how_to_provide(target: Target, name: str) -> str:
    """The commands that copy a linked file to the host, or create an empty one, for its owner alone."""
    file = shlex.quote(f"{target.layout.shared}/{name}")
    folder = shlex.quote(f"{target.layout.shared}/{name}".rpartition("/")[0])
    if target.settings.connection == "local":
        make_folder, close = f"mkdir -p {folder}", f"chmod 600 {file}"
        copy = f"{make_folder} && cp {shlex.quote(name)} {file} && {close}"
        return f"{copy}\n  or, empty: {make_folder} && touch {file} && {close}"
    settings = target.settings
    login = f"{settings.user}@{target.address}"
    ssh, scp = (f"ssh -p {settings.port}", f"scp -P {settings.port}") if settings.port else ("ssh", "scp")

    def there(command: str) -> str:
        return f"{ssh} {login} {shlex.quote(command)}"

    if settings.sudo_user != settings.user:  # the login user can't write there
        sudo = f"sudo -u {settings.sudo_user}"
        make_folder, close = there(f"{sudo} mkdir -p {folder}"), there(f"{sudo} chmod 600 {file}")
        copy = f"{there(f'{sudo} tee {file} >/dev/null')} < {shlex.quote(name)}"
        touch = there(f"{sudo} touch {file}")
        return f"{make_folder} && {copy} && {close}\n  or, empty: {make_folder} && {touch} && {close}"
    make_folder, close = there(f"mkdir -p {folder}"), there(f"chmod 600 {file}")
    copy = f"{make_folder} && {scp} {shlex.quote(name)} {login}:{file} && {close}"
    return f"{copy}\n  or, empty: {there(f'mkdir -p {folder} && touch {file} && chmod 600 {file}')}"

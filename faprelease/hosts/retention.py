"""Which releases a host keeps. Pure."""

from faprelease.hosts.state import HostState

KEEP_AS_EVIDENCE = 2
"""How many releases that were left as bad stay, and how many that never went live."""


def outdated_releases(state: HostState, new: str, previous: str, keep: int) -> list[str]:
    """The releases that a finished release removes, oldest first.

    Only those that were live count for `keep`. The newest of those that were left as bad stay as evidence,
    and so do the newest that never went live. The new one, the previous one and the one that `current`
    named stay, and so does every folder that no record knows.
    """
    safe = {new, previous, state.current}
    good = [release for release in state.releases if release.is_good]
    spare = [release.id for release in good if release.id not in safe]
    room = keep - len({release.id for release in good} & safe | {new})
    outdated = spare[: max(0, len(spare) - max(0, room))]
    others = [release for release in state.releases if not release.is_good and release.id not in safe]
    bad = [release.id for release in others if release.is_bad]
    unborn = [release.id for release in others if not release.is_bad]
    return sorted([*outdated, *bad[:-KEEP_AS_EVIDENCE], *unborn[:-KEEP_AS_EVIDENCE]])

"""The releases that a host keeps. Pure."""

from faprelease.hosts.state import HostState

KEEP_AS_EVIDENCE = 2
"""How many bad releases are kept, and how many that never went live."""


def outdated_releases(state: HostState, new: str, previous: str, keep: int) -> list[str]:
    """Return the releases to remove after a release, oldest first.

    Only releases that were live count for `keep`. The newest bad ones, and the newest that never went live,
    are kept for inspection. The new release, the previous one, the one that was current, and folders without
    a record are always kept.
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

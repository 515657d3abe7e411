"""Which releases a host keeps. Pure."""

from faprelease.facts import HostState, Release, is_good


def outdated_releases(state: HostState, new: str, previous: str, keep: int) -> list[str]:
    """The releases that a finished release removes, oldest first.

    Only those that were live count for `keep`; of those that failed or were left as bad, the newest stays
    as evidence. The new one, the previous one and the one that `current` named stay, and so does every
    folder that no record knows.
    """
    safe = {new, previous, state.current}
    good = [release for release in state.releases if is_good(release)]
    spare = [release.id for release in good if release.id not in safe]
    room = keep - len({release.id for release in good} & safe | {new})
    outdated = spare[: max(0, len(spare) - max(0, room))]
    failed = [release.id for release in state.releases if _is_evidence(release, safe)]
    return sorted([*outdated, *failed[:-1]])


def _is_evidence(release: Release, safe: set[str]) -> bool:
    return not is_good(release) and release.id not in safe

"""Which hosts someone rolled back from the artifact that is to be released. Pure functions."""

from collections.abc import Callable, Sequence

from artifact_store.core.hints import Hint
from faprelease.config.artifact_source import ArtifactSource
from faprelease.errors import FapError
from faprelease.plan.host import Host, RunInfo


def problem(
    hosts: Sequence[Host], info: RunInfo, source: ArtifactSource, since: Callable[[], int]
) -> FapError | None:
    """Return the reason why a release needs --again: someone rolled back from this artifact with this
    configuration by hand, on these hosts. None if nobody did.

    `since` gives the number of the log entry that promoted the artifact; one that is newer than what a host
    has seen counts as a new decision. It is asked only if it matters.
    """
    left = [host for host in hosts if _was_left(host, info, source.digest)]
    if source.entry and left:
        promoted = since()
        left = [host for host in left if host.state.seen(host.target.settings.stage).number >= promoted]
    if not left:
        return None
    names = ", ".join(str(host.place) for host in left)
    return FapError(
        f"{source.name} was live with this configuration, and someone rolled back from it: {names}",
        hint=Hint("release another version; or the same command with --again"),
    )


def _was_left(host: Host, info: RunInfo, digest: str) -> bool:
    """Whether the last release of this artifact with the current configuration was left by a rollback."""
    config = host.config(info)
    same = [
        release
        for release in host.state.releases
        if release.artifact and (release.artifact.digest, release.record.config) == (digest, config)
    ]
    return bool(digest and same and same[-1].record.left)

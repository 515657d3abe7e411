"""The release to which each host rolls back. Pure.

All hosts must roll back to the same artifact. Its release may have another id on a host that was added later.
"""

from artifact_store.core.hints import Hint
from faprelease.config.target import Target
from faprelease.errors import FapError
from faprelease.hosts.state import Release
from faprelease.plan.host import Host
from faprelease.steps.layout import is_release_id
from faprelease.steps.place import Place


def goals(hosts: list[Host], to: str = "", *, force: bool = False) -> dict[Place, Release]:
    """Return the release to which each host rolls back, by its place, without hosts where it is already live.

    `to` names it by id or version; the default is the last healthy release before the current one. With
    `force` it may be marked bad. Raises FapError, with the commands to type, if a host has no such release,
    or the hosts would roll back to different ones.
    """
    releases, problems = {}, []
    for host in hosts:
        try:
            releases[host.place] = _named(host, to, force=force) if to else _last_good(host)
        except FapError as error:
            problems.append(error)
    if problems:
        raise FapError(
            "\n".join(problem.message for problem in problems),
            hint=Hint.lines(problem.hint for problem in problems),
        )
    if len({_identity(release) for release in releases.values()}) > 1:
        listed = "".join(f"\n  {place}: {describe(release)}" for place, release in releases.items())
        raise FapError(f"the hosts would roll back to different releases:{listed}", hint=_what_to_name(hosts))
    moving = {host.place for host in hosts if releases[host.place].id != host.state.current}
    if not moving:
        raise FapError(
            f"{to} is already live on all hosts",
            hint=f"see the other releases: faprelease releases {_words(hosts)}",
        )
    return {place: release for place, release in releases.items() if place in moving}


def goal_version(hosts: list[Host], to: str = "", *, force: bool = False) -> str:
    """The version that `goals` names; empty if its artifact names none."""
    releases = goals(hosts, to, force=force).values()
    return next((release.artifact.version for release in releases if release.artifact), "")


def live_versions(hosts: list[Host]) -> frozenset[str]:
    """The versions that are live on these hosts, without releases whose artifact names none."""
    live = (host.state.release(host.state.current) for host in hosts)
    return frozenset(_version(release) for release in live if release) - {""}


def describe(release: Release) -> str:
    """A release for people: `261122-185409 (version 1.4)`."""
    version = release.artifact.version if release.artifact else ""
    return f"{release.id} (version {version})" if version else release.id


def _last_good(host: Host) -> Release:
    state, label = host.state, host.place
    if not state.current:
        raise FapError(
            f"{label}: no release is live there", hint=f"release first: {_release_line(host.target)}"
        )
    last = state.last_good()
    if last is None:
        raise FapError(
            f"{label}: there is no release to roll back to; {state.current} stays live",
            hint=f"release a good version instead: {_release_line(host.target)}",
        )
    return last


def _named(host: Host, to: str, *, force: bool) -> Release:
    """The release of that id, or the newest of that version. Raises FapError if it is not allowed."""
    state = host.state
    matching = [
        release
        for release in state.releases
        if (release.id if is_release_id(to) else _version(release)) == to
    ]
    allowed = [release for release in matching if release.is_good or (force and release.is_bad)]
    if allowed:
        live = next((release for release in allowed if release.id == state.current), None)
        return live or allowed[-1]
    label, words = host.place, _words([host])
    if any(release.is_bad for release in matching):
        raise FapError(
            f"{label}: {to} is marked bad, so it can't be rolled back to",
            hint=f"to roll back to it all the same: faprelease rollback {words} --to {to} --force",
        )
    good = ", ".join(
        describe(release) for release in state.releases if release.is_good and release.id != state.current
    )
    why = f"its state is {matching[-1].record.state}" if matching else "there is no such release"
    raise FapError(
        f"{label}: can't roll back to {to}: {why}",
        hint=f"releases that were live on {host.target.host}: {good or 'none'}",
    )


def _what_to_name(hosts: list[Host]) -> str:
    """The commands that roll all hosts back to one version, or, if there is none, each host by itself."""
    words = _words(hosts)
    versions = [
        [_version(each) for each in reversed(host.state.releases) if each.is_good and _version(each)]
        for host in hosts
    ]
    common = [each for each in dict.fromkeys(versions[0]) if all(each in others for others in versions)]
    current = {_version(each) for host in hosts if (each := host.state.release(host.state.current))}
    lines = [f"faprelease rollback {words} --to {each}" for each in common if {each} != current] or [
        f"faprelease rollback {_words([host])} --hosts {host.target.host}"
        + (f" --to {last.id}" if (last := host.state.last_good()) else "")
        for host in hosts
    ]
    return "choose one:\n" + "\n".join(f"  {line}" for line in lines)


def _identity(release: Release) -> str:
    return release.artifact.digest if release.artifact else release.id


def _version(release: Release) -> str:
    return release.artifact.version if release.artifact else ""


def _words(hosts: list[Host]) -> str:
    """The stage, and the role if all hosts have the same, as arguments of a command."""
    roles = list(dict.fromkeys(host.target.settings.role for host in hosts))
    stage = hosts[0].target.settings.stage
    return f"{stage} {roles[0]}" if len(roles) == 1 else stage


def _release_line(target: Target) -> str:
    settings = target.settings
    what = "" if settings.store else "--curl-url URL "
    return f"faprelease {what}{settings.stage} {settings.role}"

"""Which release each host goes back to. Pure.

Hosts agree when they go to the same artifact. Where a host was added later, that may be a release of
another id.
"""

from artifact_store.core.hints import Hint
from faprelease.config.target import Target
from faprelease.errors import FapError
from faprelease.hosts.state import Release
from faprelease.plan.host import Host
from faprelease.steps.layout import is_release_id
from faprelease.steps.place import Place


def goals(hosts: list[Host], to: str = "", *, force: bool = False) -> dict[Place, Release]:
    """The release that each host goes back to, by its place; hosts that run it already are left out.

    `to` names it by id or by version; otherwise it is the last good one before the current one. With `force`
    it may be one that was left as bad. Raises FapError, with the lines to type, where a host has no such
    release, or the hosts would go to different ones.
    """
    found, problems = {}, []
    for host in hosts:
        try:
            found[host.place] = _named(host, to, force=force) if to else _last_good(host)
        except FapError as error:
            problems.append(error)
    if problems:
        raise FapError(
            "\n".join(problem.message for problem in problems),
            hint=Hint.lines(problem.hint for problem in problems),
        )
    if len({_identity(release) for release in found.values()}) > 1:
        listed = "".join(f"\n  {place}: {describe(release)}" for place, release in found.items())
        raise FapError(f"the hosts would roll back to different releases:{listed}", hint=_what_to_name(hosts))
    moving = {host.place for host in hosts if found[host.place].id != host.state.current}
    if not moving:
        raise FapError(
            f"{to} is already live on all hosts",
            hint=f"see the other releases: faprelease releases {_words(hosts)}",
        )
    return {place: release for place, release in found.items() if place in moving}


def describe(release: Release) -> str:
    """`261122-185409 (version 1.4)`."""
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
    """The release of that id, or the newest of that version, if it may be gone back to."""
    state = host.state
    named = [each for each in state.releases if (each.id if is_release_id(to) else _version(each)) == to]
    may_be = [each for each in named if each.is_good or (force and each.is_bad)]
    if may_be:
        live = next((each for each in may_be if each.id == state.current), None)
        return live or may_be[-1]
    label, words = host.place, _words([host])
    if any(each.is_bad for each in named):
        raise FapError(
            f"{label}: {to} is marked bad, so it can't be rolled back to",
            hint=f"to roll back to it all the same: faprelease rollback {words} --to {to} --force",
        )
    good = ", ".join(describe(each) for each in state.releases if each.is_good and each.id != state.current)
    why = f"its state is {named[-1].record.state}" if named else "there is no such release"
    raise FapError(
        f"{label}: can't roll back to {to}: {why}",
        hint=f"releases that were live on {host.target.host}: {good or 'none'}",
    )


def _what_to_name(hosts: list[Host]) -> str:
    """The lines that bring all hosts to one version, or else each host to one of its own."""
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
    """Stage and role, as a command names these hosts."""
    roles = list(dict.fromkeys(host.target.settings.role for host in hosts))
    stage = hosts[0].target.settings.stage
    return f"{stage} {roles[0]}" if len(roles) == 1 else stage


def _release_line(target: Target) -> str:
    settings = target.settings
    what = "" if settings.store else "--curl-url URL "
    return f"faprelease {what}{settings.stage} {settings.role}"

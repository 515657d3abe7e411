"""Refuses an older entry of a stage's log than a host has seen, and another log. Pure.

Otherwise a mirror or a store that hides the last entries could bring back an old version.
"""

from collections.abc import Iterable, Mapping

from faprelease.config.artifact_source import ArtifactSource
from faprelease.errors import VerificationError
from faprelease.hosts.state import SeenEntry
from faprelease.plan.host import Host
from faprelease.request import Request

FLAG = "--allow-older"


def by_hosts(hosts: Iterable[Host]) -> dict[str, SeenEntry]:
    """The last entry of its stage's log that each host has seen, by its name and role."""
    return {str(host.place): host.state.seen(host.target.settings.stage) for host in hosts}


def older(source: ArtifactSource, seen: Mapping[str, SeenEntry]) -> str:
    """Return a message if the store has an older log than the hosts have seen, or another one; otherwise
    empty."""
    if not source.entry:
        return ""
    others = [who for who, each in seen.items() if each.origin and each.origin != source.origin]
    if others:
        return (
            f"the store's log, which ends with entry {source.entry} ({source.name}), is not the log that"
            f" {_first(others)} has seen: it began with another entry"
        )
    highest = max((each.number for each in seen.values()), default=0)
    if source.entry >= highest:
        return ""
    those = [who for who, each in seen.items() if each.number == highest]
    return (
        f"the store's log ends with entry {source.entry} ({source.name}), and {_first(those)} has seen"
        f" entry {highest}: entries are missing"
    )


def refuse_older(source: ArtifactSource, seen: Mapping[str, SeenEntry], request: Request) -> str:
    """Raise VerificationError if the store has an older log than the hosts have seen, or another one.

    If the request allows that, return a note for the ledger instead; empty if there is nothing to note.
    """
    problem = older(source, seen)
    if problem and not request.allow_older:
        raise VerificationError(
            problem,
            hint="nothing was changed; find out who removed them, or wait until the mirror has caught up\n"
            f"if this log is right, for example that of a restored store: the same command with {FLAG}",
        )
    return f"{problem} ({FLAG})" if problem else ""


def _first(names: list[str]) -> str:
    return f"{names[0]} (and {len(names) - 1} more)" if len(names) > 1 else names[0]

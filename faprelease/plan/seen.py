"""No host goes back to an older entry of its stage's log than it has seen, nor to another log. Pure.

A mirror or a store that hides the last entries would bring back an old version otherwise.
"""

from collections.abc import Iterable, Mapping

from faprelease.config.artifact_source import ArtifactSource
from faprelease.errors import VerificationError
from faprelease.hosts.state import SeenEntry
from faprelease.plan.host import Host
from faprelease.request import Request

FLAG = "--allow-older"


def by_hosts(hosts: Iterable[Host]) -> dict[str, SeenEntry]:
    """What each host has seen of its stage's log, by its name and role."""
    return {str(host.place): host.state.seen(host.target.settings.stage) for host in hosts}


def older(source: ArtifactSource, seen: Mapping[str, SeenEntry]) -> str:
    """In which way the store shows an older or another log than was seen, in words; empty if it does not."""
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
    """Raise VerificationError if the log is older than what was seen, or another one.

    If the request allows that, return a note for the records; otherwise an empty text.
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

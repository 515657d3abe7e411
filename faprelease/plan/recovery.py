"""The batches of a rollout, and the recovery of a rollout that was interrupted. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from faprelease.hosts.state import Rollout
from faprelease.plan.host import Host
from faprelease.steps.place import Place


def batch_size(size: int | str, hosts: int) -> int:
    """The number of hosts that `1`, `"3"` or `"25%"` means: a percentage is rounded down, to at least 1."""
    text = str(size)
    return max(1, hosts * int(text[:-1]) // 100) if text.endswith("%") else int(text)


def batch_numbers(hosts: int, sizes: Sequence[int | str]) -> list[int]:
    """The batch of each host, from 0. The sizes apply one after another; the last one is repeated."""
    numbers: list[int] = []
    batch = 0
    while len(numbers) < hosts:
        size = batch_size(sizes[min(batch, len(sizes) - 1)], hosts)
        numbers += [batch] * min(size, hosts - len(numbers))
        batch += 1
    return numbers


def batches_of(hosts: Iterable[Host]) -> list[int]:
    """The batch of each host, from 0. Each role is divided by itself; the first batches of all roles run
    together. Hosts whose processes are restarted take turns, unless `batch` says otherwise: the others
    answer meanwhile."""
    hosts = list(hosts)
    numbers: dict[int, int] = {}
    for role in {host.target.settings.role for host in hosts}:
        places = [place for place, host in enumerate(hosts) if host.target.settings.role == role]
        first = hosts[places[0]]
        sizes = first.target.settings.batch or (["1"] if first.restarts else ["100%"])
        numbers |= dict(zip(places, batch_numbers(len(places), sizes), strict=True))
    return [numbers[place] for place in range(len(hosts))]


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """How to recover a rollout that was interrupted."""

    rollout: Rollout
    action: Literal["finish", "undo"]
    published: list[Host]
    """Hosts that began to publish and did not finish."""
    prepared: list[Host]
    """Hosts with its release, unpublished; to be undone too."""
    absent: list[Place]
    """Places of the rollout that the current run does not include."""


def recovery(hosts: Sequence[Host]) -> Recovery | None:
    """Return how to recover the last rollout on these hosts; None if it is complete.

    A host records that it takes part just before its `current` moves, and later that its health check passed.
    The rollout can be finished if all hosts passed, or one finished (which happens only after all passed).
    Otherwise all hosts roll back.
    """
    cut_off = [host.state.rollout for host in hosts if host.state.rollout and not host.state.rollout.ended]
    if not cut_off:
        return None
    rollout = min(cut_off, key=lambda each: each.id)
    there = {host.place: host for host in hosts}
    took_part = {
        place: host.state.rollout
        for place, host in there.items()
        if host.state.rollout and host.state.rollout.id == rollout.id
    }
    ends = {each.ended for each in took_part.values()}
    all_passed = all(place in took_part and took_part[place].passed for place in rollout.hosts)
    prepared = [
        there[place]
        for place in rollout.hosts
        if place in there and place not in took_part and _is_prepared(there[place], rollout)
    ]
    return Recovery(
        rollout=rollout,
        action="finish" if "finished" in ends or (all_passed and "undone" not in ends) else "undo",
        published=[there[place] for place, each in took_part.items() if not each.ended],
        prepared=prepared,
        absent=[place for place in rollout.hosts if place not in there],
    )


def _is_prepared(host: Host, rollout: Rollout) -> bool:
    release = host.state.release(rollout.release) if rollout.verb == "release" else None
    return release is not None and release.record.state in ("preparing", "ready")

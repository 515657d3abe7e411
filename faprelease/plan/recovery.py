"""How a release is carried over its hosts: which batch each is in, and what becomes of a rollout that was cut
off. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from faprelease.hosts.state import Rollout
from faprelease.plan.host import Host
from faprelease.steps.place import Place


def batch_size(size: int | str, hosts: int) -> int:
    """How many of so many hosts `1`, `"3"` or `"25%"` are: a part is rounded down, and never none."""
    text = str(size)
    return max(1, hosts * int(text[:-1]) // 100) if text.endswith("%") else int(text)


def batch_numbers(hosts: int, sizes: Sequence[int | str]) -> list[int]:
    """The batch of each of so many hosts, counted from 0: sizes one after another, the last one repeated."""
    numbers: list[int] = []
    batch = 0
    while len(numbers) < hosts:
        size = batch_size(sizes[min(batch, len(sizes) - 1)], hosts)
        numbers += [batch] * min(size, hosts - len(numbers))
        batch += 1
    return numbers


def batches_of(hosts: Iterable[Host]) -> list[int]:
    """The batch of each host. Every role is divided by itself; the first batches of all roles go together."""
    hosts = list(hosts)
    numbers: dict[int, int] = {}
    for role in {host.target.settings.role for host in hosts}:
        places = [place for place, host in enumerate(hosts) if host.target.settings.role == role]
        sizes = hosts[places[0]].target.settings.batch or ["100%"]
        numbers |= dict(zip(places, batch_numbers(len(places), sizes), strict=True))
    return [numbers[place] for place in range(len(hosts))]


@dataclass(frozen=True, kw_only=True)
class Recovery:
    """What is left to do of a rollout that was cut off."""

    rollout: Rollout
    action: Literal["finish", "undo"]
    published: list[Host]
    """Where it began to publish, and did not end."""
    prepared: list[Host]
    """Where its release lies, unpublished; to be undone too."""
    absent: list[Place]
    """Those of its hosts, with their roles, that are not looked at now."""


def recovery(hosts: Sequence[Host]) -> Recovery | None:
    """What the last run left undone on these hosts, None if nothing.

    A host says that it takes part just before its own `current` moves, and after that that it passed its
    gate. Where all have passed, or one has finished, which none does before all have passed, the rest can
    finish too; otherwise all go back.
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
    all_passed = all(
        place in took_part and took_part[place].passed for place in rollout.hosts if place in there
    )
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
    found = host.state.release(rollout.release) if rollout.verb == "release" else None
    return found is not None and found.record.state in ("preparing", "ready")

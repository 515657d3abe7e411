"""What a plan says of a handover (`handover: beside`) on one host. Pure."""

from collections.abc import Iterator
from typing import cast

from artifact_store.core.text import size
from faprelease.plan.host import Host
from faprelease.plugins import handover_units
from faprelease.plugins.processes import MANAGERS
from faprelease.steps.model import HostPlan


def lines(plan: HostPlan, host: Host) -> Iterator[str]:
    """Yield what starts, stays and ends beside what answers now."""
    settings, state = host.target.settings, host.state
    if not plan.publish or not host.has_manager:
        return
    front = f"{host.target.layout.run}/{handover_units.socket(1)}"
    if settings.handover != "beside":
        if state.front:
            yield f"what answers at {front} ends; the web server has to use the port of the processes"
        return
    if state.current and not state.front:
        yield (
            f"first handover: what runs now is stopped, and {settings.handover_listen} leads to {front}"
            if settings.handover_listen
            else "first handover: what runs now goes on at its port until the next release or restart;"
            f" meanwhile, have the web server use unix:{front}"
        )
    names = {name.rpartition(".")[2] for name in host.plugins.names()} & MANAGERS
    manager = cast(handover_units.Manager, next(iter(names)))
    if state.front:
        keep = handover_units.keep_seconds(settings, manager)
        stays = f"stays ready for a rollback for {keep} s" if keep else "ends after that"
        memory = f"; both need {size(state.memory)} more memory, {size(state.available)} are available"
        yield f"starts beside {state.front}, which {stays}{memory if state.memory else ''}"
        if keep and settings.release_command and plan.prepare:
            yield "until then, old code that is ready meets the database as release_command leaves it"
    left = [name for name in state.starts if name != state.front and not name.startswith(f"{plan.release}-")]
    if left:
        yield f"ends what a rollback or an interrupted run has left: {', '.join(left)}"

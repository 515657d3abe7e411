"""The warnings of a plan: what users of the app may notice of it. Pure."""

from collections.abc import Iterator, Sequence

from faprelease.config.settings import WEB
from faprelease.plan.host import Host
from faprelease.plan.recovery import batches_of
from faprelease.plugins.hooks import Context


def warnings(hosts: Sequence[Host]) -> Iterator[str]:
    """Yield what an outage or an unproven version may come from, for each role that answers requests."""
    numbers = batches_of(hosts)
    for role in dict.fromkeys(host.target.settings.role for host in hosts):
        places = [place for place, host in enumerate(hosts) if host.target.settings.role == role]
        first = hosts[places[0]]
        settings, context = first.target.settings, Context(first.target, "release", "", "")
        if not first.plugins.steps("published", context):
            yield (
                f"no plugin starts or restarts anything for {role}: what runs there stays as it is;"
                " add one: plugins: [systemd], or [supervisorctl]"
            )
        if not (settings.is_web and first.has_manager):
            continue
        if not context.has_plugin("healthcheck"):
            yield (
                f"{role} has no healthcheck: a version that runs for {settings.process_seconds} s counts as"
                " live, whether it answers or not"
            )
        if not first.restarts:
            continue
        if len(places) > 1 and len({numbers[place] for place in places}) == 1:
            yield (
                f"all {len(places)} hosts of {role} restart at once: until they have started, nobody answers."
                " Leave out `batch`, and they restart one after the other"
            )
        if (count := settings.processes.get(WEB, 1)) > 1:
            yield f"the {count} {WEB} processes of a host restart together; it does not answer meanwhile"

"""Checks over HTTP that the new release answers on a port of its host."""

from collections.abc import Iterator
from types import ModuleType
from urllib.parse import urlsplit

from faprelease.plugins import handover, supervisorctl, systemd
from faprelease.plugins.health_request import Options, curl_config, url_of
from faprelease.plugins.hooks import Context, hookimpl
from faprelease.steps.model import Step, host_program, words

_MANAGERS = {"supervisorctl": supervisorctl, "systemd": systemd}


@hookimpl
def ports(context: Context) -> Iterator[int]:
    """The port of the request; none if the keys give no valid URL."""
    options = context.options(Options)
    try:
        url = urlsplit(options.healthcheck_url)
        port = options.healthcheck_port or url.port or {"http": 80, "https": 443}.get(url.scheme)
    except ValueError:
        return
    if port:
        yield port


@hookimpl
def deploy_checking(context: Context) -> Iterator[Step]:
    if handover.is_on(context):
        return  # it is a part of the handover
    options = context.options(Options)
    url = url_of(options)
    release_id = context.release.rpartition("/")[2]
    manager, arguments = _watched(context)
    options_of_check = {
        "release": context.release,
        "artifact": f"{context.target.layout.records}/{release_id}.artifact.json",
        "port": str(urlsplit(url).port or (443 if url.startswith("https:") else 80)),
        "status": str(options.healthcheck_status),
        "good": str(options.healthcheck_good),
        "seconds": str(options.healthcheck_seconds),
        "shows": options.healthcheck_shows,
        "managed": "yes" if context.has_plugin(*_MANAGERS) else "",
        "manager": manager.PROGRAM[0] if manager else "",
    }
    yield host_program(
        f"check that the release answers {url.partition('?')[0]}",
        "healthcheck",
        *(manager.PROGRAM if manager else ("watch", "processes")),
        arguments=words({**arguments, **options_of_check}),
        state=context.target.layout.state,
        stdin=curl_config(url, options),
        limit=options.healthcheck_seconds + options.healthcheck_timeout + 60,
        trusted=False,
    )


def _watched(context: Context) -> tuple[ModuleType | None, dict[str, str]]:
    """The plugin of the process manager that is asked meanwhile whether the release still runs, and its
    options; None without one."""
    for name, plugin in _MANAGERS.items():
        if context.has_plugin(name) and (arguments := plugin.watched(context)):
            return plugin, arguments
    return None, {}

"""Checks over HTTP that the new release answers on a port of its host."""

import re
from collections.abc import Iterator
from types import ModuleType
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.plugins import supervisorctl, systemd
from faprelease.plugins.hooks import Context, hookimpl
from faprelease.steps.model import Secret, Step, host_program, words

_QUOTABLE = re.compile(r"[ !#-\[\]-~]*")
_MANAGERS = {"supervisorctl": supervisorctl, "systemd": systemd}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where the release answers, what a healthy answer is, and how to recognise the new release."""

    healthcheck_url: Annotated[str, about("URL on the host itself; or set a port and a path")] = ""
    healthcheck_port: Annotated[int, about("port, instead of a URL")] = 0
    healthcheck_path: Annotated[str, about("path at that port")] = "/"
    healthcheck_host: Annotated[str, about("Host header of the request")] = ""
    healthcheck_status: Annotated[int, about("HTTP status of a healthy answer")] = 200
    healthcheck_shows: Annotated[
        Literal["", "version", "commit", "release"],
        about("the answer must contain this of the new release; empty: who listens must run from it"),
    ] = ""
    healthcheck_good: Annotated[int, about("how many healthy answers in a row, one second apart")] = 2
    healthcheck_seconds: Annotated[int, about("time limit for these answers, in seconds")] = 60
    healthcheck_timeout: Annotated[int, about("time limit of one request, in seconds")] = 5


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
    options = context.options(Options)
    url = _url(options)
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
        stdin=_curl_config(url, options),
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


def _url(options: Options) -> str:
    url = options.healthcheck_url
    if options.healthcheck_port and not url:
        url = f"http://127.0.0.1:{options.healthcheck_port}/{options.healthcheck_path.removeprefix('/')}"
    try:
        port_is_valid = urlsplit(url).port != 0
    except ValueError:
        port_is_valid = False
    if not url.startswith(("http://", "https://")) or not port_is_valid:
        raise ConfigError(
            f"healthcheck_url: {url!r} is not a URL",
            hint="set healthcheck_port: 8000, or healthcheck_url: http://…",
        )
    if not _QUOTABLE.fullmatch(url + options.healthcheck_host) or " " in url:
        raise ConfigError(
            "healthcheck: URL and host must be plain ASCII", hint="write other characters like %20"
        )
    return url


def _curl_config(url: str, options: Options) -> Secret:
    """The configuration of curl (curl.1, --config), sent on stdin because a query may contain a key."""
    rest = [
        "silent",
        "show-error",
        "globoff",
        'noproxy = "*"',
        f"max-time = {options.healthcheck_timeout}",
        'write-out = "\\n%{http_code}"',
        *([f'header = "Host: {options.healthcheck_host}"'] if options.healthcheck_host else []),
    ]
    bare, _, query = url.partition("?")
    shown = "\n".join([f'url = "{bare}{"?…" if query else ""}"', *rest])
    return Secret("\n".join([f'url = "{url}"', *rest]), shown, (query,) if query else ())

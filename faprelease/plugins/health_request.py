"""The request of a health check: the keys for it, its URL, and curl's configuration. Pure."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.steps.model import Secret

_QUOTABLE = re.compile(r"[ !#-\[\]-~]*")


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


def url_of(options: Options) -> str:
    """The URL of the request. Raises ConfigError for invalid keys."""
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


def curl_config(url: str, options: Options) -> Secret:
    """Return the configuration of curl (curl.1, --config). It is sent on stdin: a query may contain a key."""
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

"""Fetches artifacts with curl: each host downloads the file, checks it, and unpacks it."""

import re
import shlex
from collections.abc import Iterator
from typing import Annotated

import msgspec

from artifact_store.artifact import installing
from artifact_store.core.urls import redact_url
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.keys import about
from faprelease.errors import ConfigError
from faprelease.steps.layout import Layout
from faprelease.steps.model import Secret, Step, host_path, host_program

FETCH_SECONDS = 3600
"""The time limit of one download, in seconds; it stops much earlier below 1024 bytes per second."""
UNPACK_SECONDS = 1900
PROGRAM = "fetch", "delta", "members", "reader", "unpack", "fit", "pythons", "machine", "refusal"
"""The modules of the program that fetches; the first one runs."""
WHERE_FROM = frozenset(
    ["curl_url", "curl_sha256", "curl_root", "curl_user", "curl_options", "curl_postinstall_output"]
)
"""Keys that do not change what is released; the digest of the artifact identifies that."""


_HARMLESS = {*("cacert", "capath", "connect-timeout", "interface", "limit-rate", "m", "max-time", "resolve")}
_HARMLESS |= {
    *("retry", "retry-delay", "retry-max-time", "speed-limit", "speed-time", "y", "Y", "user-agent")
}
"""Options of curl whose values are no secrets."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of this plugin, with the same meaning as in fapistrano."""

    curl_url: Annotated[
        str, about("release this URL instead of the version promoted to the stage", shown="address")
    ] = ""
    curl_sha256: Annotated[str, about("sha256 that the artifact must have")] = ""
    curl_root: Annotated[
        str, about("root that it must have: a host then fetches and checks only what it uses")
    ] = ""
    curl_user: Annotated[str, about("name:password for the URL", shown="no")] = ""
    curl_options: Annotated[str, about("more options for curl", shown="no")] = ""
    curl_output: Annotated[str, about("save the file under this name in the release")] = ""
    curl_extract_tar: Annotated[bool, about("unpack the file even if curl_output is set")] = False
    curl_extract_tgz: Annotated[bool, about("unpack the file even if curl_output is set")] = False
    curl_postinstall_script: Annotated[
        str, about("command that installs the release; default: ./install.sh, if the artifact has one")
    ] = ""
    curl_postinstall_output: Annotated[bool, about("show the output of the installer")] = False


def what_may_be_shown(url: str) -> str:
    """The URL without its secret parts; `?…` if a query was removed."""
    return redact_url(url) + ("?…" if "?" in url else "")


def given_source(options: Options) -> ArtifactSource | None:
    """The artifact at `curl_url`; None if that is not set."""
    if not options.curl_url:
        return None
    name = what_may_be_shown(options.curl_url)
    digest, root = options.curl_sha256.lower(), options.curl_root.lower()
    return ArtifactSource(url=options.curl_url, digest=digest, root=root, name=name)


def check(options: Options) -> None:
    """Raise ConfigError for an invalid URL, digest or file name, before anything connects."""
    url, sha256 = options.curl_url, options.curl_sha256
    is_url = url.startswith(("http://", "https://", "file:///")) and url.isprintable() and " " not in url
    if url and not is_url:
        raise ConfigError(
            f"{what_may_be_shown(url)!r} is not a URL to download from",
            hint="give an http://, https:// or file:/// URL",
        )
    if options.curl_output.startswith("/") or ".." in options.curl_output.split("/"):
        raise ConfigError(
            f"curl_output: {options.curl_output!r} is outside the release",
            hint="give a file inside the release",
        )
    for name, value in (("curl_sha256", sha256), ("curl_root", options.curl_root)):
        if value and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
            raise ConfigError(f"{name}: {value!r} is not a sha256", hint="a sha256 has 64 hexadecimal digits")
    if options.curl_root and not sha256:
        raise ConfigError(
            "curl_root without curl_sha256",
            hint="give both: `fapstore url APP VERSION --faprelease` prints them",
        )


def fetch(
    source: ArtifactSource, options: Options, cache: str, layout: Layout, release_id: str, app: str
) -> tuple[Step, ...]:
    """Return the steps that fetch the artifact into the (empty) release folder. They reuse files of earlier
    artifacts in the folder `cache`. They refuse an artifact of another app than `app`, unless that is
    empty."""
    shown, work = what_may_be_shown(source.url), f"{layout.state}/{release_id}.download"
    release = layout.release(release_id)
    if options.curl_output and not (options.curl_extract_tar or options.curl_extract_tgz):
        path = shlex.quote(f"{release}/{options.curl_output}")
        script = f"mv -- {shlex.quote(work)}/artifact {path} && rm -rf {shlex.quote(work)}"
        return (
            _program(f"download {shown}", source, options, cache, layout.state, work, source.digest),
            Step(title=f"save the file as {options.curl_output}", script=script, trusted=True),
        )
    facts = f"{layout.records}/{release_id}.artifact.json"
    # The project's own command may need any file.
    state = "" if options.curl_postinstall_script else layout.state
    libraries = ",".join(installing.known_wheels())
    words = (work, source.digest, source.root, release, facts, state, app, libraries)
    return (_program(f"fetch {shown} and unpack it", source, options, cache, layout.state, *words),)


def _program(
    title: str, source: ArtifactSource, options: Options, cache: str, state: str, *arguments: str
) -> Step:
    words = [host_path(cache), *map(shlex.quote, arguments)]
    return host_program(
        title,
        *PROGRAM,
        arguments=words,
        state=state,
        stdin=_curl_config(source.url, options),
        limit=FETCH_SECONDS + 600 + UNPACK_SECONDS,
        binding=not source.digest,
    )


def _curl_config(url: str, options: Options) -> Secret:
    """The configuration of curl (curl.1, --config). It is sent on stdin, so that no argument list on the host
    shows the URL, a password or a header."""
    lines = [
        'proto = "=http,https,file"',
        'proto-redir = "=http,https"',
        "fail",
        "globoff",
        "location",
        "silent",
        "show-error",
        "connect-timeout = 10",
        f"max-time = {FETCH_SECONDS}",
        "speed-limit = 1024",
        "speed-time = 30",
    ]
    user, extra = options.curl_user, _as_config(options.curl_options)
    _, _, query = url.partition("?")
    _, _, password = user.partition(":")
    real = [f"url = {_quoted(url)}", *lines, *([f"user = {_quoted(user)}"] if user else []), *extra]
    shown = [f"url = {_quoted(what_may_be_shown(url))}", *lines, *(['user = "***"'] if user else [])]
    shown += [f"{line.split()[0]} ***" if " " in line else line for line in extra]
    secrets = (url, query, password, *_secrets_of(options.curl_options))
    return Secret("\n".join(real), "\n".join(shown), tuple(filter(None, secrets)))


def _secrets_of(options: str) -> Iterator[str]:
    """Yield the values of options that may be secret, such as headers; short words would hide too much."""
    option = ""
    for word in shlex.split(options):
        is_option = word.startswith("-")
        if is_option and not word.startswith("--"):
            option, value = word[1:2], word[2:]  # the value may follow at once: -HName:value
        elif is_option:
            option, value = word[2:], ""
        else:
            value = word
        if option not in _HARMLESS and len(value) >= 6:
            yield value


def _as_config(options: str) -> list[str]:
    """Convert command line options to lines of curl's configuration file: an option, then its value,
    quoted."""
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise ConfigError(f"curl_options: {error}", hint="close every quote") from error
    lines: list[str] = []
    for word in words:
        if word.startswith("-") or not lines:
            lines.append(word)
        else:
            lines[-1] += f" {_quoted(word)}"
    return lines


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'

"""The commands that start an app: web servers by what they speak, and workers."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fapbuild.onboarding.applications import Application, Kind


@dataclass(frozen=True)
class Server:
    """A web server: its package, what it speaks, and its command line."""

    package: str
    speaks: tuple[Kind, ...]
    command: str
    factory: str = ""
    """The option for a function that returns the application; without one, `module:name()` is called."""


SERVERS = (
    Server("gunicorn", ("wsgi",), "gunicorn --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}}"),
    Server(
        "uvicorn",
        ("asgi",),
        "exec env UVICORN_UDS=${FAP_BIND#unix:} UVICORN_PORT=${PORT##*/*} uvicorn --host 0.0.0.0",
        "--factory",
    ),
    Server("hypercorn", ("asgi",), "hypercorn --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}}"),
    Server(
        "granian",
        ("asgi", "wsgi"),
        "exec env GRANIAN_UDS=${FAP_BIND#unix:} GRANIAN_PORT=${PORT##*/*} granian --host 0.0.0.0",
        "--factory",
    ),
    Server("daphne", ("asgi",), "daphne -e ${FAP_BIND:-tcp:port=${PORT:-8000}:interface=0.0.0.0}"),
    Server("waitress", ("wsgi",), "waitress-serve --port=$PORT", "--call"),
    Server("uwsgi", ("wsgi",), "uwsgi --http-socket 0.0.0.0:$PORT --master --die-on-term --module"),
    Server("gunicorn", ("paste",), "gunicorn --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}} --paste"),
    Server(
        "gunicorn",
        ("aiohttp",),
        "gunicorn --worker-class aiohttp.GunicornWebWorker --bind ${FAP_BIND:-0.0.0.0:${PORT:-8000}}",
    ),
    Server("sanic", ("sanic",), "sanic --host 0.0.0.0 --port $PORT", "--factory"),
    Server("pyuwsgi", ("wsgi",), "uwsgi --http-socket 0.0.0.0:$PORT --master --die-on-term --module"),
)
_DEFAULT: dict[Kind, Server] = {kind: server for server in SERVERS[::-1] for kind in server.speaks}


@dataclass(frozen=True)
class Web:
    """The command of the web process, and the package of its server."""

    command: str
    package: str
    """The package of its server; empty for a command of the project's own."""
    selected: bool
    """Whether the package is among those of the app; if not, it has to be added."""


def choose(applications: Sequence[Application], selected: Collection[str], installed: bool) -> Web:
    """The command for the likeliest application that a selected server speaks to.

    `installed` says whether modules of a src layout can be imported. Without a server, the usual one.
    """
    sockets = [one for one in applications if one.sockets]
    speakers = [server for server in SERVERS if server.package in selected]
    for ordered in (sockets, applications):
        for server in speakers:
            for one in ordered:
                if one.kind in server.speaks and not (one.factory and server.package == "daphne"):
                    return Web(_command(server, one, installed), server.package, selected=True)
    one = applications[0]
    server = _DEFAULT[one.kind]
    return Web(_command(server, one, installed), server.package, selected=False)


def _command(server: Server, one: Application, installed: bool) -> str:
    reference = one.reference
    words = [server.command]
    if server.package == "granian":
        words.append(f"--interface {one.kind}")
    if one.kind == "paste":
        reference = one.module
    elif one.factory and server.factory:
        words.append(server.factory)
    elif one.factory:
        reference = f'"{reference}()"'
    elif server.package == "gunicorn" and one.name == "application":
        reference = one.module  # its default
    line = " ".join([*words, reference])
    if one.directory != "." and not (installed and one.directory == "src"):
        return f"cd {one.directory} && exec {line.removeprefix('exec ')}"
    return f"exec {line}" if '"' in line and not line.startswith("exec ") else line

"""The whole pipeline: on this machine (`make demo`, no root), or with S3 and three sshds (`make demo-fleet`).

Everything happens in .demo/, with the commands that a person would type; each is shown before it runs.
What was started is stopped at the end.
"""

import http.client
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.parts.fleet import FleetError, Host, fleet  # noqa: E402
from tests.parts.seaweed import seaweed  # noqa: E402
from tests.parts.supervisord import supervisord_in, supervisord_on  # noqa: E402

WORK = ROOT / ".demo"
BIN = Path(sys.executable).parent
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ


@dataclass
class Stage:
    """Where the demo plays: the servers, what their deploy.yml says, and the environment of the commands."""

    store: str
    connection: str
    path: str
    supervisor_target: str
    sockets: Mapping[str, Path]
    """Where each host's shop answers: what nginx would connect to."""
    env: dict[str, str] = field(default_factory=dict)
    bin: str = ""
    """The folder of this machine's supervisorctl, if this machine is the host."""


def main() -> int:
    missing = [tool for tool in ("git", "curl", "node", "npm") if shutil.which(tool) is None]
    if missing:
        print(
            f"the demo needs {', '.join(missing)}: sudo apt-get install {' '.join(missing)}", file=sys.stderr
        )
        return 1
    if WORK.exists():  # with releases in it, which are read-only
        subprocess.run(["chmod", "-R", "u+w", WORK], check=True)
        shutil.rmtree(WORK)
    WORK.mkdir()
    try:
        with on_fleet() if "--fleet" in sys.argv else on_this_machine() as stage:
            play(stage)
    except FleetError as error:
        print(f"demo-fleet can't run here: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted; what was started has been stopped. Again: make demo", file=sys.stderr)
        return 130
    except subprocess.CalledProcessError as error:
        print(f"the demo stopped: `{shlex.join(error.cmd)}` ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


def play(stage: Stage) -> None:
    """Release two versions, and roll one back."""
    shop = WORK / "shop"
    shutil.copytree(ROOT / "examples" / "shop", shop, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (shop / "deploy.yml").write_text(deploy_yml(stage))
    path = f"{stage.bin}:{BIN}:{os.environ['PATH']}"
    env = {**os.environ, **stage.env, "PATH": path, "FAP_STORE": stage.store}

    def run(*argv: str) -> None:
        say(f"$ {shlex.join(argv)}", "1")
        subprocess.run(argv, cwd=shop, env=env, check=True)

    def commit(message: str) -> None:
        for argv in (["add", "--all"], ["commit", "--quiet", "--message", message]):
            subprocess.run(["git", *argv], cwd=shop, env={**env, **GIT_IDENTITY}, check=True)

    title("The shop's first commit becomes an artifact, and is stored")
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main"], cwd=shop, env=env, check=True)
    commit("The shop opens")
    if stage.store.startswith("file:"):
        run("fapstore", "init")
    run("fapbuild", "pack", "--version", "1", "--push", stage.store)

    title("It is promoted: a log entry, no bytes move")
    run("fapstore", "promote", "shop", "1", "staging")
    run("fapstore", "promote", "shop", "--from", "staging", "--to", "production")

    title("It is released to production's web hosts")
    run("faprelease", "production", "web")
    show_health(stage, "1")

    title("A second commit goes the same way")
    page = shop / "shop" / "templates" / "page.html"
    page.write_text(page.read_text() + "\n<!-- now with longer opening hours -->\n")
    commit("The shop opens longer")
    run("fapbuild", "pack", "--version", "2", "--push", stage.store)
    run("fapstore", "promote", "shop", "2", "staging")
    run("fapstore", "promote", "shop", "--from", "staging", "--to", "production")
    with customers(stage):
        run("faprelease", "production", "web")
    show_health(stage, "2")

    title("It was a mistake: back to the first version; nothing is downloaded")
    with customers(stage):
        run("faprelease", "rollback", "production", "web")
    show_health(stage, "1")

    title("What happened, from the store and from a host")
    run("fapstore", "history", "shop", "production")
    run("faprelease", "status", "production")
    ledger = next(iter(sorted(WORK.rglob("ledger.jsonl"))))
    say(f"$ cat {stage.path}/.fap/ledger.jsonl", "1")
    for line in ledger.read_text().splitlines():
        entry = json.loads(line)
        version = (entry["artifact"] or {}).get("version", "-")
        print(f"{entry['at']}  {entry['event']:<12} {entry['release']}  version {version}  by {entry['who']}")
    print()
    say("Two versions were released, and one was rolled back. Stopping everything that was started.", "32")


GIT_IDENTITY = {
    "GIT_AUTHOR_NAME": "Demo",
    "GIT_AUTHOR_EMAIL": "demo@example.org",
    "GIT_COMMITTER_NAME": "Demo",
    "GIT_COMMITTER_EMAIL": "demo@example.org",
}


def deploy_yml(stage: Stage) -> str:
    """The deploy.yml of this demo; the shop's own one names servers that are not here."""
    hosts = ", ".join(stage.sockets)
    return f"""\
app_name: shop
connection: {stage.connection}
user: deploy
path: {stage.path}
store: {stage.store}
plugins: [curl, supervisorctl, healthcheck]
processes: {{web: 1}}
handover: beside  # a release starts beside the one before it, is checked, and then answers
healthcheck_url: http://shop/health
linked_files: [settings.toml]  # in shared/ on each host
supervisor_program: shop_web
supervisor_target: {stage.supervisor_target}
environment:
  SHOP_STAGE: "%(stage)s"
stage_role_configs:
  production:
    web:
      hosts: [{hosts}]
"""


def furnish(shared: Path, path: str) -> None:
    """What an operator puts on a host once: the settings with their secret."""
    shared.mkdir(parents=True)
    settings = (ROOT / "examples" / "shop" / "settings.example.toml").read_text()
    settings = settings.replace('secret_key = ""', f'secret_key = "{os.urandom(32).hex()}"')
    (shared / "settings.toml").write_text(settings.replace('"~/shop-orders"', f'"{path}/shared/orders"'))
    (shared / "settings.toml").chmod(0o600)


@contextmanager
def on_this_machine() -> Iterator[Stage]:
    """This machine is the only host, a folder is the store; no ssh, no root."""
    title("supervisord starts, as on any server")
    path = WORK / "www" / "shop"
    furnish(path / "shared", str(path))
    with supervisord_in(WORK / "home") as supervisord:
        yield Stage(
            store=f"file://{WORK}/store",
            connection="local",
            path=str(path),
            supervisor_target=f"{supervisord.conf_d}/shop_web.conf",
            sockets={"localhost": path / "run/web.sock"},
            bin=str(supervisord.bin),
        )


@contextmanager
def on_fleet() -> Iterator[Stage]:
    """Three hosts with an sshd and a supervisord each, and SeaweedFS as the S3 server."""
    title("An S3 server and three hosts start")
    path = "/home/deploy/www/shop"
    with ExitStack() as stack:
        server = stack.enter_context(seaweed(WORK / "s3"))
        server.make_bucket("artifacts")
        hosts = stack.enter_context(fleet(WORK / "fleet", 3))
        home = WORK / "home"
        (home / ".ssh").mkdir(parents=True)
        shutil.copy(hosts[0].ssh_config, home / ".ssh" / "config")
        target = {start_supervisord(stack, host, path) for host in hosts}.pop()
        yield Stage(
            store="s3://artifacts",
            connection="ssh",
            path=path,
            supervisor_target=target,
            sockets={host.name: host.path(f"{path}/run/web.sock") for host in hosts},
            env={**server.env, "HOME": str(home)},
        )


def start_supervisord(stack: ExitStack, host: Host, path: str) -> str:
    """A supervisord on one host, and its shared files; where that host's supervisor looks for programs."""
    shared = host.path(f"{path}/shared")
    furnish(shared, path)
    owner = host.root.stat()
    for place in (shared.parent.parent, shared.parent, shared, *shared.iterdir()):
        os.chown(place, owner.st_uid, owner.st_gid)
    supervisord = stack.enter_context(supervisord_on(host))
    return f"{host.home}/{supervisord.conf_d.relative_to(host.root)}/shop_web.conf"


def show_health(stage: Stage, version: str) -> None:
    """Ask every shop for its version."""
    for host, path in stage.sockets.items():
        say(f"$ curl --unix-socket {path} http://shop/health   # {host}", "1")
        status, answer = ask(path, "/health")
        if status != 200 or f'"version":"{version}"' not in answer.replace(" ", ""):
            raise SystemExit(f"{host}: {path} does not answer version {version}: {status} {answer}")
        print(answer.strip())


@contextmanager
def customers(stage: Stage) -> Iterator[None]:
    """Visit the shops all the time, and print how many requests failed."""
    answers: list[int] = []
    gone = threading.Event()

    def visit(path: Path) -> None:
        while not gone.wait(0.02):
            answers.append(ask(path, "/")[0])

    visitors = [threading.Thread(target=visit, args=(path,)) for path in stage.sockets.values()]
    for visitor in visitors:
        visitor.start()
    try:
        yield
    finally:
        gone.set()
        for visitor in visitors:
            visitor.join()
    failed = sum(status != 200 for status in answers)
    say(f"Customers sent {len(answers)} requests meanwhile; {failed} failed.", "31" if failed else "32")


def ask(path: Path, page: str) -> tuple[int, str]:
    """The status and the text of a page, from a unix socket; 0 and the reason if there is no answer."""
    connection = http.client.HTTPConnection("shop", timeout=10)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(10)
        connection.sock.connect(str(path))
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def title(text: str) -> None:
    print()
    say(f"── {text} ".ljust(78, "─"), "36")


def say(text: str, colour: str) -> None:
    print(f"\033[{colour}m{text}\033[0m" if COLOUR else text, flush=True)


if __name__ == "__main__":
    sys.exit(main())

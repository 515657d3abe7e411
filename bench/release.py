"""Release of a trivial artifact to loopback hosts, as whole processes: ours and a Fabric script in turns."""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench import fabric_release
from bench.delay import far
from bench.processes import BIN, BenchError, output
from bench.trivial import Artifact
from tests.parts.fleet import Host, fleet

DEPLOY = """\
app_name: trivial
path: {path}
linked_files: [settings.toml]
plugins: [faprelease.curl]
curl_extract_tgz: true
curl_postinstall_script: ./install.sh
stage_role_configs:
  production:
    web:
      hosts: [{hosts}]
"""


@dataclass(frozen=True)
class Scene:
    """The hosts of one measurement, and the folder and environment its commands run in."""

    hosts: Sequence[Host]
    folder: Path
    environment: dict[str, str]

    @property
    def ssh_config(self) -> Path:
        return self.folder / ".ssh/config"

    @property
    def known_hosts(self) -> Path:
        return self.folder / ".ssh/known_hosts"


@dataclass(frozen=True)
class Way:
    """One way to release: where on the hosts, and the command for an artifact at a URL."""

    name: str
    path: Path
    command: Callable[[Scene, Artifact, str], list[str | Path]]
    seconds: list[float] = field(default_factory=list)
    sessions: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Row:
    """Medians of one number of hosts: seconds, and exec sessions per host."""

    hosts: int
    delay: float
    """Of the network, in seconds one way."""
    ours: float
    fabric: float
    lowest: float
    """The lowest ratio of the two in one turn."""
    highest: float
    our_sessions: int
    fabric_sessions: int

    @property
    def ratio(self) -> float:
        return self.ours / self.fabric


def measure(folder: Path, count: int, url: str, artifacts: Sequence[Artifact], delay: float = 0) -> Row:
    """Release each artifact both ways to `count` fresh hosts; the first one warms up and doesn't count.
    ssh takes `delay` seconds each way; what the hosts download is near them.

    Raises BenchError if a release fails, or leaves a host with another release than was asked for.
    """
    with fleet(folder, count) as hosts, ExitStack() as stack:
        scene = _scene(folder, hosts)
        if delay:
            ports = stack.enter_context(far([(host.address, host.port) for host in hosts], delay))
            _move(scene, ports)
        home = hosts[0].home
        ours = Way("faprelease", home / "www/ours", _ours)
        fabric = Way("fabric", home / "www/fabric", _fabric)
        for way in (ours, fabric):
            _share_settings(hosts, way.path)
        for turn, artifact in enumerate(artifacts):
            # Who goes first changes, so that neither always finds the caches as the other left them.
            for way in (ours, fabric) if turn % 2 else (fabric, ours):
                _release(way, scene, artifact, f"{url}/{artifact.path.name}")
    ratios = [one / other for one, other in zip(ours.seconds[1:], fabric.seconds[1:], strict=True)]
    return Row(
        hosts=count,
        delay=delay,
        ours=statistics.median(ours.seconds[1:]),
        fabric=statistics.median(fabric.seconds[1:]),
        lowest=min(ratios),
        highest=max(ratios),
        our_sessions=max(ours.sessions[1:]),
        fabric_sessions=max(fabric.sessions[1:]),
    )


def _scene(folder: Path, hosts: Sequence[Host]) -> Scene:
    home = folder / "controller"
    (home / ".ssh").mkdir(mode=0o700, parents=True)
    environment = {key: value for key, value in os.environ.items() if key != "SSH_AUTH_SOCK"}
    scene = Scene(hosts, home, {**environment, "HOME": str(home)})
    scene.known_hosts.write_text(hosts[0].known_hosts.read_text())
    config = hosts[0].ssh_config.read_text()
    scene.ssh_config.write_text(config.replace(str(hosts[0].known_hosts), str(scene.known_hosts)))
    return scene


def _move(scene: Scene, ports: Sequence[int]) -> None:
    """The hosts are at these ports of 127.0.0.1."""
    config, known = scene.ssh_config.read_text(), scene.known_hosts.read_text()
    for host, port in zip(scene.hosts, ports, strict=True):
        config = config.replace(
            f"HostName {host.address}\n    Port {host.port}\n", f"HostName 127.0.0.1\n    Port {port}\n"
        )
        known = known.replace(f"[{host.address}]:{host.port} ", f"[127.0.0.1]:{port} ")
    scene.ssh_config.write_text(config)
    scene.known_hosts.write_text(known)


def _share_settings(hosts: Sequence[Host], path: Path) -> None:
    for host in hosts:
        script = f"umask 027; mkdir -p {path}/shared && echo 'answer = 42' > {path}/shared/settings.toml"
        host.run(["sh", "-c", script], check=True)


def _release(way: Way, scene: Scene, artifact: Artifact, url: str) -> None:
    command = way.command(scene, artifact, url)
    sessions = [host.exec_sessions() for host in scene.hosts]
    began = time.perf_counter()
    output(command, cwd=scene.folder, environment=scene.environment)
    way.seconds.append(time.perf_counter() - began)
    way.sessions.append(
        max(host.exec_sessions() - before for host, before in zip(scene.hosts, sessions, strict=True))
    )
    for host in scene.hosts:
        # Links on a host are the host's: it answers itself what is current.
        answer = host.run(["cat", way.path / "current/installed", way.path / "current/settings.toml"])
        if answer.stdout != f"{artifact.number}\nanswer = 42\n":
            raise BenchError(f"{way.name}: {host.name} doesn't run number {artifact.number}: {answer}")


def _ours(scene: Scene, artifact: Artifact, url: str) -> list[str | Path]:
    deploy = scene.folder / "deploy.yml"
    names = ", ".join(host.name for host in scene.hosts)
    deploy.write_text(DEPLOY.format(path=scene.hosts[0].home / "www/ours", hosts=names))
    check = ("--curl-url", url, "--curl-sha256", artifact.sha256)
    return [BIN / "faprelease", *check, "-f", deploy, "production", "web"]


def _fabric(scene: Scene, artifact: Artifact, url: str) -> list[str | Path]:
    host = scene.hosts[0]
    where = (scene.ssh_config, scene.known_hosts, host.home / "www/fabric", url, artifact.sha256)
    return [BIN / "python", fabric_release.__file__, *where, *(host.name for host in scene.hosts)]

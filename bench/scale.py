"""Many hosts: what each one more costs the controller, in CPU and memory. One sshd stands for them all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BIN, Used, used
from bench.trivial import Artifact
from tests.parts.fleet import Host, fleet

PORT = 2299
HEAD = """\
app_name: trivial
path: /home/deploy/www/%(app_name)s-%(role)s
curl_postinstall_script: ./install.sh
stage_role_configs:
  production:
"""


@dataclass(frozen=True)
class Row:
    """What a release to so many hosts took of the controller."""

    hosts: int
    used: Used

    def per_host(self, one: "Row") -> float:
        """Seconds of CPU for each host, without what the first one took, with which all begins."""
        return (self.used.cpu - one.used.cpu) / (self.hosts - one.hosts)


def measure(
    folder: Path, counts: Sequence[int], runs: int, url: str, artifacts: Sequence[Artifact]
) -> Iterator[Row]:
    """Release to so many addresses of one sshd, each a role with a folder of its own; the run with the least
    CPU counts. Raises BenchError."""
    with fleet(folder, 1, address="0.0.0.0", port=PORT) as (host,):
        for count in counts:
            home = _controller(folder / f"controller-{count}", host, count)
            rows = [_release(home, url, artifact) for artifact in artifacts[:runs]]
            yield Row(count, min(rows, key=lambda used: used.cpu))


def _controller(home: Path, host: Host, count: int) -> Path:
    addresses = {f"h{number}": f"127.99.{number // 250}.{1 + number % 250}" for number in range(count)}
    (home / ".ssh").mkdir(parents=True)
    key = host.known_hosts.read_text().split(" ", 1)[1].strip()
    known = "".join(f"[{address}]:{PORT} {key}\n" for address in addresses.values())
    (home / ".ssh/known_hosts").write_text(known)
    (home / ".ssh/config").write_text(
        "".join(f"Host {name}\n    HostName {address}\n" for name, address in addresses.items())
        + f"Host *\n    Port {PORT}\n    IdentityFile {host.key}\n"
        f"    IdentitiesOnly yes\n    UserKnownHostsFile {home}/.ssh/known_hosts\n"
    )
    roles = "".join(f"    {name}: {{hosts: [{name}]}}\n" for name in addresses)
    (home / "deploy.yml").write_text(HEAD + roles)
    return home


def _release(home: Path, url: str, artifact: Artifact) -> Used:
    check = ("--curl-url", f"{url}/{artifact.path.name}", "--curl-sha256", artifact.sha256)
    return used(
        [BIN / "faprelease", *check, "production"], home, {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    )

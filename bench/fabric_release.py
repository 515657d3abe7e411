"""What a careful person writes with Fabric 3: the release that `bench` measures ours against.

    python fabric_release.py SSH_CONFIG KNOWN_HOSTS PATH URL SHA256 HOST...

Six bare run() calls a host, all hosts at once, strict host keys. It stands alone on purpose: nothing of
fapkit is imported, so the process costs what such a script costs.
"""

import sys
import time

from fabric import Config, Connection, ThreadingGroup
from paramiko import RejectPolicy

KEEP = 5


def main() -> None:
    ssh_config, known_hosts, path, url, sha256, *hosts = sys.argv[1:]
    config = Config(runtime_ssh_path=ssh_config)
    group = ThreadingGroup.from_connections([connection(host, config, known_hosts) for host in hosts])
    name = f"{time.time_ns() // 1000}"
    release = f"{path}/releases/{name}"
    tgz = f"{release}.tgz"
    settings = "settings.toml"
    for command in (
        f"mkdir -p {path}/releases {path}/shared && mkdir {release}",
        f"curl -fsS -o {tgz} '{url}' && echo '{sha256}  {tgz}' | sha256sum -c --quiet",
        f"tar -xzf {tgz} -C {release} && rm {tgz} && ln -s {path}/shared/{settings} {release}/{settings}",
        f"cd {release} && ./install.sh",
        f"ln -s releases/{name} {path}/current.{name} && mv -T {path}/current.{name} {path}/current",
        f"cd {path}/releases && ls -1 | sort -r | tail -n +{KEEP + 1} | xargs -r rm -rf",
    ):
        group.run(command, hide=True)
    group.close()


def connection(host: str, config: Config, known_hosts: str) -> Connection:
    made = Connection(host, config=config)
    made.client.set_missing_host_key_policy(RejectPolicy())
    made.client.load_host_keys(known_hosts)
    return made


if __name__ == "__main__":
    main()

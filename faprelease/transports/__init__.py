"""Transports to a shell on a host: one protocol, implemented by paramiko, the system's ssh, and this
machine."""

from pathlib import Path
from typing import Literal

from faprelease.transports.channel import Channel
from faprelease.transports.passwords import Passwords

Connection = Literal["ssh", "openssh", "local"]
CONNECT_SECONDS = 15.0


def connect(
    host: str,
    user: str,
    sudo_user: str,
    *,
    connection: Connection,
    config_file: Path | None,
    passwords: Passwords,
    seconds: float = CONNECT_SECONDS,
) -> Channel:
    """Connect to a host of deploy.yml as `user` (unless `host` names a user) and return a shell of
    `sudo_user`.

    `config_file` is a configuration of OpenSSH; None for none. `seconds` limits each stage of connecting. The
    connection `ssh` uses paramiko, and OpenSSH for hosts that paramiko can't reach. Raises UnreachableError,
    and ConfigError for a host or a configuration that can't be read.
    """
    if connection == "local":
        from faprelease.transports import local

        return local.connect()

    from faprelease.transports import openssh

    if connection == "ssh":
        from faprelease.transports import ssh, ssh_config

        server = ssh_config.look_up(host, user, config_file)
        if not server.needs_openssh:
            return ssh.connect(server, sudo_user, passwords=passwords, seconds=seconds)
    return openssh.connect(
        host, user, sudo_user, config_file=config_file, passwords=passwords, seconds=seconds
    )

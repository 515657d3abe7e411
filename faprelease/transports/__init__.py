"""Ways to a shell on a host: one protocol, and behind it paramiko, the system's ssh, or this machine."""

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
    """A shell of `sudo_user` on a host of deploy.yml, logged in to as `user` unless `host` names another one.

    `config_file` is OpenSSH's, None for no configuration. Each stage of connecting may take `seconds`. `ssh`
    is paramiko, and OpenSSH for a host that can only be reached that way. Raises UnreachableError, and
    ConfigError for a host or a configuration that can't be read.
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

"""The keys for a login: keys of an agent, and keys in files, with their certificates."""

import base64
import binascii
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from faprelease.transports.lean import paramiko
from faprelease.transports.passwords import Passwords
from faprelease.transports.ssh_config import Server


class Keys:
    """The keys for one server, in the order in which ssh would offer them. `problems` collects failures."""

    def __init__(self, server: Server, passwords: Passwords) -> None:
        self._server, self._passwords = server, passwords
        self.problems: list[str] = []

    def __iter__(self) -> Iterator[paramiko.PKey]:
        """Yield first the keys in the configuration, from the agent if it has them; then other keys of the
        agent; last the keys that need a passphrase from the user."""
        agent = paramiko.Agent() if os.environ.get("SSH_AUTH_SOCK") else None
        try:
            agent_keys = self._agent_keys(agent)
            encrypted = []
            for path in self._server.keys:
                key = agent_keys.pop(_public_part(path) or b"", None) or self._load(path, None)
                if key:
                    yield self._certified(key, path)
                elif path.exists() and _is_encrypted(path):
                    encrypted.append(path)
            if not self._server.only_these_keys:
                yield from agent_keys.values()
            for path in encrypted:
                key = self._unlock(path)
                if key:
                    yield self._certified(key, path)
        finally:
            if agent:
                agent.close()

    def _agent_keys(self, agent: paramiko.Agent | None) -> dict[bytes, paramiko.PKey]:
        try:
            return {key.blob: key for key in agent.get_keys()} if agent else {}
        except (paramiko.SSHException, OSError) as error:
            self.problems.append(f"the ssh agent does not answer: {error}")
            return {}

    def _load(self, path: Path, passphrase: str | None) -> paramiko.PKey | None:
        """Read the key in a file; None if it is missing, as with ssh, or can't be read."""
        try:
            return _read(path, path.stat().st_mtime_ns, passphrase)
        except FileNotFoundError:
            return None
        except (paramiko.SSHException, OSError, ValueError) as error:
            if passphrase is not None or not _is_encrypted(path):
                self.problems.append(f"{path}: {error}")
            return None

    def _unlock(self, path: Path) -> paramiko.PKey | None:
        passphrase = self._passwords.for_key(path)
        if passphrase is None:
            self.problems.append(f"{path} is encrypted, and no agent has it: ssh-add {path}")
            return None
        return self._load(path, passphrase)

    def _certified(self, key: paramiko.PKey, path: Path) -> paramiko.PKey:
        for certificate in (*self._server.certificates, Path(f"{path}-cert.pub")):
            try:
                if certificate.exists() and not key.public_blob:
                    key.load_certificate(str(certificate))
            except (paramiko.SSHException, OSError, ValueError) as error:
                self.problems.append(f"{certificate}: {error}")
        return key


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int, passphrase: str | None) -> paramiko.PKey:
    """Read a key, cached for all hosts of a run: unlocking one takes 0.2 s."""
    error: Exception = paramiko.SSHException("not a key that can be used here")
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key_file(str(path), passphrase)
        except paramiko.PasswordRequiredException:
            raise
        except (paramiko.SSHException, ValueError) as problem:
            error = problem
    raise error


def _public_part(path: Path) -> bytes | None:
    """The public key of a key file, in wire format: from the file itself, from `FILE.pub`, or from the head
    of the private key, which is never encrypted (PROTOCOL.key of OpenSSH)."""
    for file in (path, Path(f"{path}.pub")):
        try:
            text = file.read_text()
            if text.startswith("-----BEGIN OPENSSH PRIVATE KEY-----"):
                message = paramiko.Message(base64.b64decode("".join(text.split("-----")[2].split())))
                message.get_bytes(len("openssh-key-v1\0"))
                for _cipher_kdf_options in range(3):
                    message.get_binary()
                return message.get_binary() if message.get_int() == 1 else None
            if not text.startswith("-----"):
                return base64.b64decode(text.split()[1])
        except (OSError, ValueError, IndexError, binascii.Error):
            continue
    return None


def _is_encrypted(path: Path) -> bool:
    """Whether a key file is encrypted. Loading it is the only test for all formats."""
    try:
        _read(path, 0, None)
    except paramiko.PasswordRequiredException:
        return True
    except (paramiko.SSHException, OSError, ValueError):
        return False
    return False

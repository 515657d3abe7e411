"""Real ssh keys and the file that allows them."""

import subprocess
from pathlib import Path


class Signers:
    """Keys in a folder, and the allowed-signers file `path`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "allowed_signers"
        self.path.touch()

    def key(self, name: str) -> Path:
        """A private key that no line allows yet."""
        path = self._folder / name
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
        return path

    def allow(self, name: str, options: str = "", key: str = "") -> Path:
        """Allow the key `key`, else that of the same name, for `name`@example.com; return it."""
        path = self.key(key or name)
        public = path.with_name(f"{path.name}.pub").read_text()
        with self.path.open("a") as file:
            file.write(f"{name}@example.com {options} {public}")
        return path

"""A host's folders, and the step that brings an artifact there, run as hosts run it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from faprelease.config.artifact_source import ArtifactSource
from faprelease.plugins import curl
from faprelease.steps import wire
from faprelease.steps.layout import Layout


@dataclass(frozen=True)
class Place:
    """An app's folder on a host, whose only release is called `new`, and a cache beside it."""

    root: Path

    @property
    def release(self) -> Path:
        return self.root / "releases" / "new"

    @property
    def facts(self) -> Path:
        return self.root / ".fap" / "releases" / "new.artifact.json"

    @property
    def cache(self) -> Path:
        return self.root.with_name("cache")

    def unpack(self, data: bytes, *wrapper: str) -> subprocess.CompletedProcess[str]:
        """Fetch the bytes from a file, and unpack them."""
        archive = self.root.with_name("archive")
        archive.write_bytes(data)
        return self.fetch(archive.as_uri(), "", *wrapper, cache="")

    def fetch(
        self,
        url: str,
        sha256: str,
        *wrapper: str,
        cache: str | None = None,
        app: str = "",
        of_root: str = "",
        command: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Fetch what is behind the URL, and unpack it; its output holds the facts that it hands over too.

        `command` would install it, in place of ./install.sh.
        """
        self.release.mkdir(parents=True)
        self.facts.parent.mkdir(parents=True, exist_ok=True)
        root = str(self.root)
        layout = Layout(root, f"{root}/current", f"{root}/releases", f"{root}/shared")
        source = ArtifactSource(url=url, digest=sha256, root=of_root, name=url)
        options = curl.Options(curl_extract_tgz=True, curl_postinstall_script=command)
        (step,) = curl.fetch(source, options, str(self.cache) if cache is None else cache, layout, "new", app)
        done = subprocess.run(
            [*wrapper, "sh", "-c", f"{step.script} 2>&1"],
            input=wire.stdin_of(step, reveal=True).encode(),
            capture_output=True,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )
        said = done.stdout.decode().replace("\r", "")
        return subprocess.CompletedProcess(done.args, done.returncode, said, done.stderr.decode())

    def tree(self) -> set[str]:
        """Everything below the root that is not of the download."""
        found = (str(path.relative_to(self.root)) for path in self.root.rglob("*"))
        return {name for name in found if not name.startswith(".fap")}

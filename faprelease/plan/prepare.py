"""The steps that prepare a release in its folder: files, links, environment, packages. Pure."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from artifact_store.artifact import installing
from faprelease.config import environment
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.target import Target
from faprelease.plugins import curl
from faprelease.plugins.hooks import Context
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import Step, host_path, host_program, host_script

INSTALL_SECONDS = 900
"""The time limit of an artifact's installer, in seconds."""
PREFLIGHT_SECONDS = 120
"""The time limit of a preflight command, in seconds."""
TREE_SECONDS = 300
"""The time limit for reading every file of a release, in seconds."""


@dataclass(frozen=True)
class Preparation:
    """The steps that prepare a release. The methods are in the order in which they run."""

    target: Target
    release_id: str

    @property
    def folder(self) -> str:
        """The release's folder on the host."""
        return self.target.layout.release(self.release_id)

    @property
    def environment_file(self) -> str:
        """The path of its environment file on the host."""
        return f"{self.folder}/{self.target.settings.environment_name}"

    def fetch(self, source: ArtifactSource) -> Iterator[Step]:
        """Fetch and unpack the artifact with curl."""
        settings, layout = self.target.settings, self.target.layout
        yield from curl.fetch(
            source, self._options, settings.cache_path, layout, self.release_id, settings.project_name
        )

    def copy(self, old: str) -> Iterator[Step]:
        """Copy the artifact's files from an older release, without those that were created on the host."""
        layout = self.target.layout
        yield host_script(
            f"copy release {old}",
            "release/copy",
            limit=600,
            old=layout.release(old),
            release=self.folder,
            shared=layout.shared,
            facts=f"{layout.records}/{old}.artifact.json",
            new_facts=f"{layout.records}/{self.release_id}.artifact.json",
            file=self.target.settings.environment_name,
        )

    def compare(self, current: str) -> Iterator[Step]:
        """Print how the environment file of this release differs from that of the `current` one (empty:
        none), since a rollback restores the old file."""
        if current:
            now = f"{self.target.layout.release(current)}/{self.target.settings.environment_name}"
            yield Step(
                title="compare the environment files",
                script=f"exec python3 -I -S - {shlex.join([now, self.environment_file])}",
                stdin=read_host_file("programs/compare_environments.py"),
                trusted=True,
            )

    def install(self) -> Iterator[Step]:
        """Link shared files, write the environment file, run the artifact's installer and the preflight."""
        yield from self._links()
        yield self._variables()
        yield self._installer()
        yield from self._preflight()

    def _links(self) -> Iterator[Step]:
        settings, layout = self.target.settings, self.target.layout
        linked = [*settings.linked_files, *settings.linked_dirs]
        if linked:
            yield host_script(
                "link shared files",
                "release/link",
                stdin="\n".join(linked),
                release=self.folder,
                shared=layout.shared,
            )

    def _variables(self) -> Step:
        variables = environment.values_of(self.target.settings.environment)
        if variables is None:
            raise RuntimeError("the values of the environment are not resolved")
        folder, file = self.folder, self.environment_file
        if not variables:
            return host_script(
                "check that no variable is missing", "release/requires", release=folder, file=file
            )
        return host_script(
            "write the environment file",
            "release/environment",
            "release/requires",
            stdin=environment.render({name: self._filled(variables[name]) for name in variables}),
            release=folder,
            file=file,
        )

    def _installer(self) -> Step:
        settings, options = self.target.settings, self._options
        network = settings.install_network == "allow"
        layout, command = self.target.layout, self._filled(options.curl_postinstall_script)
        words = [self.folder, layout.state, self.release_id, command]
        words += ["allow" if network else "", "yes" if settings.protected else ""]
        return host_program(
            "install, with network access" if network else "install, contained",
            *("install", "contain", "sandbox", "pythons", "shared", "other_role", "wheelcache"),
            *(path.stem for path in installing.modules()),
            arguments=[
                *map(shlex.quote, words),
                host_path(settings.cache_path),
                shlex.quote("\n".join([layout.shared, *settings.install_paths])),
                ",".join(installing.known_wheels()),
                shlex.quote(settings.project_name),
            ],
            state=layout.state,
            limit=INSTALL_SECONDS,
            trusted=False,
            shown=options.curl_postinstall_output,
        )

    def _preflight(self) -> Iterator[Step]:
        command = self.target.settings.preflight
        if command:
            yield host_script(
                f"run preflight: {command}",
                "release/preflight",
                release=self.folder,
                environment_file=self.environment_file,
                limit=PREFLIGHT_SECONDS,
                trusted=False,
                command=command,
            )

    def seal(self) -> Step:
        """Make the release read-only and flush it to the disk, so that it survives a power cut."""
        return host_script(
            "make the release read-only",
            "release/seal",
            "release/flush",
            limit=TREE_SECONDS,
            release=self.folder,
            state=self.target.layout.state,
            id=self.release_id,
        )

    def unchanged(self) -> Iterator[Step]:
        """Check that no file changed since the release was sealed."""
        yield host_script(
            "check that no file of the release changed",
            "release/unchanged",
            limit=TREE_SECONDS,
            release=self.folder,
            state=self.target.layout.state,
            id=self.release_id,
        )

    @property
    def _options(self) -> curl.Options:
        return Context(self.target, "release", self.folder, "").options(curl.Options)

    def _filled(self, text: str) -> str:
        """Replace the names that get their value from the release, but not in resolved values."""
        if isinstance(text, environment.Resolved):
            return text
        return text.replace("%(release_path)s", self.folder).replace("%(new_release)s", self.release_id)

"""How a release comes into its folder on a host: files, links, environment, packages. Pure."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from faprelease.config import environment
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.target import Target
from faprelease.plugins import curl
from faprelease.plugins.hooks import Context
from faprelease.steps.host_files import read_host_file
from faprelease.steps.model import Step, host_path, host_program, host_script

INSTALL_SECONDS = 900
"""How long an artifact's own installer may take, in seconds."""
PREFLIGHT_SECONDS = 120
"""How long a preflight command may take, in seconds."""
TREE_SECONDS = 300
"""How long it may take to read every file of a release, in seconds."""


@dataclass(frozen=True)
class Preparation:
    """The steps that make a release of an artifact; the methods stand in the order in which they run."""

    target: Target
    release_id: str

    @property
    def folder(self) -> str:
        """The release's folder on the host."""
        return self.target.layout.release(self.release_id)

    @property
    def environment_file(self) -> str:
        """Where its variables lie."""
        return f"{self.folder}/{self.target.settings.environment_name}"

    def fetch(self, source: ArtifactSource) -> Iterator[Step]:
        """The artifact's files, by curl."""
        settings, layout = self.target.settings, self.target.layout
        yield from curl.fetch(
            source, self._options, settings.cache_path, layout, self.release_id, settings.project_name
        )

    def copy(self, old: str) -> Iterator[Step]:
        """What the artifact of an older release brought, without what was made of it on the host."""
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
        """A rollback brings back the environment of then: say how it differs from that of the release that
        runs now, empty for none."""
        if current:
            now = f"{self.target.layout.release(current)}/{self.target.settings.environment_name}"
            yield Step(
                title="compare the environment files",
                script=f"exec python3 -I -S - {shlex.join([now, self.environment_file])}",
                stdin=read_host_file("programs/compare_environments.py"),
                trusted=True,
            )

    def install(self) -> Iterator[Step]:
        """Links into shared/, the environment, the artifact's own installer, and the preflight."""
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
            raise RuntimeError("the values of the environment were not asked for")
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
        state, command = self.target.layout.state, self._filled(options.curl_postinstall_script)
        words = [self.folder, state, self.release_id, command]
        words += ["allow" if network else "", "yes" if settings.protected else ""]
        return host_program(
            "install, with network access" if network else "install, contained",
            "contain",
            "sandbox",
            arguments=[*map(shlex.quote, words), host_path(settings.cache_path)],
            state=state,
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
        """After that nothing in it changes any more, and a power cut takes nothing of it away."""
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
        """Nothing in it changed since it was sealed."""
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
        """With the names that only a release gives a value; what was asked for is taken as it is."""
        if isinstance(text, environment.Resolved):
            return text
        return text.replace("%(release_path)s", self.folder).replace("%(new_release)s", self.release_id)

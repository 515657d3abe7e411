"""`release_command`: the host that runs it, once for all, and when it must not run again. Pure."""

from collections.abc import Sequence

from faprelease.config.target import Target
from faprelease.errors import ConfigError, FapError
from faprelease.hosts.state import HostState
from faprelease.steps.model import Step, host_script

CODE_ALONE = "only the code is rolled back: what release_command did (to a database) stays"


def target_of(targets: Sequence[Target]) -> Target | None:
    """The host that runs it: the first host of the first role that has one. None if no role has one.

    Raises ConfigError if roles have different commands, since it runs once for all of them.
    """
    candidates = [target for target in targets if target.settings.release_command]
    for target in candidates:
        if target.settings.release_command != candidates[0].settings.release_command:
            raise ConfigError(
                f"release_command: {candidates[0].settings.role} and {target.settings.role} have different"
                " commands, but it runs once for the whole stage",
                hint="join them with && in one role, or at the top of deploy.yml",
            )
    return candidates[0] if candidates else None


def refuse_unknown_outcome(hosts: Sequence[tuple[Target, HostState]], digest: str) -> None:
    """Raise FapError if the outcome of the last command is unknown, and it was of the artifact with this
    `digest`, or that can't be told because `digest` is empty."""
    runs = [(state.command, target) for target, state in hosts if state.command]
    if not runs:
        return
    run, target = max(runs, key=lambda command_run: command_run[0].release)
    if run.exit is not None or (digest and run.artifact and run.artifact.digest != digest):
        return
    raise FapError(
        f"{target.place}: it is unknown whether release_command of {run.release} succeeded:"
        f" {run.by} started it at {run.at}, and it was interrupted",
        hint=f"check in the database how far it got; then, to run it again:"
        f" faprelease --rerun {target.settings.stage}",
    )


def step(target: Target, release_id: str, environment_file: str, at: str, who: str) -> Step:
    """The step that runs it, as the owner of the release, for at most `release_command_seconds`."""
    settings, layout = target.settings, target.layout
    return host_script(
        f"run release_command: {settings.release_command}",
        "release/release_command",
        limit=settings.release_command_seconds,
        trusted=False,
        state=layout.state,
        release=layout.release(release_id),
        id=release_id,
        environment_file=environment_file,
        at=at,
        who=who,
        command=settings.release_command,
    )

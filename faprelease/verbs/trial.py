"""A command in a release of its own: prepared as any release is, beside the others, run in, and thrown away.

Nothing of the app's own releases, their records or `current` is touched, and nobody is kept from releasing.
"""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from faprelease.config.artifact_source import ArtifactSource
from faprelease.errors import FapError, InterruptedRunError, UnreachableError, VerificationError
from faprelease.hosts.fitness import refuse_unfit
from faprelease.hosts.host_json import decode
from faprelease.hosts.state import Rollout, Unpacked
from faprelease.plan.host import Host, HostPlanner, RunInfo
from faprelease.plugins.hooks import Plugins
from faprelease.run.run import ConnectedHosts, Run
from faprelease.run.signals import stop_on_signals
from faprelease.steps.model import VERIFICATION_FAILED, HostPlan, Phase, Result, Step, command, host_script
from faprelease.transports.channel import ChannelLostError
from faprelease.transports.session import StepFailedError
from faprelease.verbs import once


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A separate release on one host: the steps that make, keep and remove it."""

    host: Host
    """The host, with the folders of the trial."""
    prepare: HostPlan
    remove: Step
    keep: Step
    told: str
    """The state folder of the app itself, which has the ledger."""

    @property
    def folder(self) -> str:
        """The folder that holds all of it."""
        return self.host.target.layout.path


def once_elsewhere(run: Run, argv: Sequence[str], host: str, *, keep: bool, title: str) -> int:
    """Make a separate release of the run's artifact on one host (empty: the first), without plugins and
    preflight, run a command in it, and remove it unless `keep`; return the command's exit code.

    Raises UsageError, FapError and VerificationError, as a release does, and InterruptedRunError.
    """
    run = once.on_chosen_hosts(run, once.Where(host=host))
    source = run.source()
    run = run.with_environment()
    with run.connect(lock=False) as connected:
        (found,) = connected.hosts
        refuse_unfit([(found.target, found.state)])
        trial = trial_on(found, connected.info, source)
        run.report.say(f"{found.target.place}: preparing a separate release in {trial.folder}")
        with _removed(run, connected, trial, keep=keep):
            unpacked = _prepare(run, connected, trial)
            line = {**once.begun("once", connected.info.who, title), "artifact": unpacked}
            return once.run_in(
                trial.host.target, connected.info.release, argv, line, connected.info.token, told=trial.told
            )


def trial_on(host: Host, info: RunInfo, source: ArtifactSource) -> Trial:
    """Return the trial for a host. Pure."""
    app = host.target.layout
    layout = app.trial(f"{info.release}-{info.token[-8:]}")
    settings = msgspec.structs.replace(host.target.settings, preflight="")
    apart = replace(
        host,
        target=replace(host.target, layout=layout, settings=settings),
        plugins=Plugins({}),
    )
    rollout = Rollout(id=info.release, verb="release", release=info.release, by=info.who)
    begin = host_script(
        "remove what earlier runs left, and begin",
        "once/sweep",
        "once/begin",
        trials=app.trials,
        ours="",
        new=layout.path,
    )
    facts = shlex.quote(f"{layout.records}/{info.release}.artifact.json")
    read = Step(title="read what was unpacked", script=f"[ ! -f {facts} ] || cat {facts}", trusted=True)
    plan = HostPlanner(apart, info, rollout).release(source)
    return Trial(
        host=apart,
        prepare=replace(plan, prepare=(Phase("begin", (begin,)), *plan.prepare, Phase("prepared", (read,)))),
        remove=host_script(
            "remove it",
            "once/sweep",
            limit=600,
            ours=f"{layout.path}.holder",
            trials=app.trials,
        ),
        keep=command("keep it", "rm", "-f", f"{layout.path}.holder"),
        told=app.state,
    )


def _prepare(run: Run, connected: ConnectedHosts, trial: Trial) -> Unpacked | None:
    results: list[Result] = []
    with stop_on_signals(run.report.say) as stop:
        for phase in trial.prepare.prepare:
            results = _run(run, connected, trial, phase)
            if stop.is_set():
                raise InterruptedRunError(
                    f"stopped after {phase.name}; the command was not run", hint="nothing of it remains there"
                )
    said = results[-1].output
    try:
        return decode(said, Unpacked) if said else None
    except ValueError as error:
        message = f"{trial.host.place}: the record of the artifact can't be read: {error}"
        raise FapError(message, hint=f"look at {trial.folder}/.fap/releases there") from error


def _run(run: Run, connected: ConnectedHosts, trial: Trial, phase: Phase) -> list[Result]:
    plan, label = trial.prepare, trial.host.place
    try:
        return connected.connections.of(plan).run(phase, partial(run.report.result, plan, phase))
    except StepFailedError as failed:
        result = failed.result
        kind = VerificationError if result.code == VERIFICATION_FAILED else FapError
        raise kind(
            f"{label}: {result.step.title} failed (exit {result.code}), and the command was not run:\n"
            f"{result.output}",
            hint="fix the problem above; the live release was not touched",
        ) from None
    except ChannelLostError as lost:
        raise UnreachableError(
            f"{label}: {lost}",
            hint=f"{trial.folder} is removed by the next release there, or the next once --curl-url",
        ) from None


@contextmanager
def _removed(run: Run, connected: ConnectedHosts, trial: Trial, *, keep: bool) -> Iterator[None]:
    """Remove the trial at the end, or keep it after success; after a lost connection the next run removes
    it."""
    target = trial.host.target
    try:
        yield
    except UnreachableError:
        raise
    except FapError:
        _run(run, connected, trial, Phase("remove", (trial.remove,)))
        raise
    last = trial.keep if keep else trial.remove
    try:
        _run(run, connected, trial, Phase("remove", (last,)))
    except FapError as error:
        run.report.say(f"warning: {error.message}; {error.hint}")
        return
    if keep:
        path = shlex.quote(trial.folder)
        run.report.say(
            f"kept: {target.layout.release(trial.prepare.release)}\nto remove it, on {target.host} as"
            f" {target.settings.sudo_user}: find {path} -type d -exec chmod u+w {{}} + && rm -rf {path}"
        )

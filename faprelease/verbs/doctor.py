"""`faprelease doctor` and `parity`: ask every host, and leave the judgement to `diagnosis`. Read-only."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from artifact_store.artifact.manifest import Manifest
from artifact_store.core.finding import Finding
from faprelease.config.target import Target
from faprelease.errors import FapError
from faprelease.plugins.hooks import Context
from faprelease.report.report import Report
from faprelease.request import Request
from faprelease.run import store_head
from faprelease.run.run import Run
from faprelease.steps.model import Step
from faprelease.steps.place import Place
from faprelease.verbs import status
from faprelease.views import host_report, parity
from faprelease.views.diagnosis import Case, InspectedHost, OnHosts, findings
from faprelease.views.endpoints import ports_of


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A stage or a role of it: what was found out, and why some hosts were not reached, by place."""

    case: Case
    lost: Mapping[Place, str]
    store: tuple[Finding, ...]


def doctor(request: Request) -> list[OnHosts]:
    """Everything that is right and wrong with the hosts of a stage or role.

    Raises ConfigError for a deploy.yml that can't be read, FapError where a host's records can't be.
    """
    found = _examine(request, "doctor")
    stage = [OnHosts(one.check, one.verdict, one.says, one.fix) for one in found.store]
    return [*stage, *findings(found.case, found.lost)]


def compare(request: Request, other: str) -> list[Finding]:
    """In what the hosts of a stage differ from those of the stage `other`; raises as `doctor` does, and
    UnreachableError."""
    sides = []
    for stage in (request.stage, other):
        found = _examine(replace(request, stage=stage), "parity")
        sides.append(parity.profiles(found.case, found.lost))
    return parity.findings((request.stage, sides[0]), (other, sides[1]))


def _examine(request: Request, verb: str) -> Examined:
    run, lost = Run.of(request, verb, Report()), dict[Place, str]()
    store, wanted = _promoted(run.targets, request.file.parent)
    with run.connect(lock=False, lost=lost) as connected:
        began = time.time()
        plugins = run.plugins()

        def step(target: Target) -> Step:
            brought = plugins[target.place].brings(Context(target, verb, "", ""))
            return host_report.step(
                target,
                wanted.get(target.settings.project_name),
                ports_of(target, plugins[target.place]),
                next((path for path in brought if path.startswith("/")), ""),
            )

        said = connected.connections.run("look for a diagnosis", step)
        clock = (began, time.time())
        health = status.health(connected) if verb == "doctor" else {}
    hosts = tuple(
        InspectedHost(
            target=host.target,
            state=host.state,
            report=host_report.parse(said[host.place]),
            clock=clock,
            wanted=wanted.get(host.target.settings.project_name),
            health=health.get(host.place, ""),
        )
        for host in connected.hosts
    )
    return Examined(case=Case(hosts=hosts), lost=lost, store=store)


def _promoted(targets: list[Target], folder: Path) -> tuple[tuple[Finding, ...], dict[str, Manifest]]:
    """What each app of the stage should run, by its name in the store; and what is to be said of that."""
    from artifact_store.artifact.peek import open_source, peek

    found: list[Finding] = []
    wanted: dict[str, Manifest] = {}
    for target in {target.settings.project_name: target for target in targets}.values():
        if not store_head.store_of(target):
            fix = "in deploy.yml: store: s3://bucket/prefix, or FAP_STORE"
            found.append(
                Finding("store", "note", "no store is named: what the hosts should run is unknown", fix)
            )
            continue
        try:
            what = store_head.find(target, folder)
            with open_source(what.url) as source:
                wanted[what.app] = peek(source).manifest
        except FapError as error:
            found.append(Finding("store", "wrong", error.message, error.hint))
        else:
            says = f"{what.name} is promoted to {target.settings.stage} and readable"
            found.append(Finding("store", "right", says))
    return tuple(found), wanted

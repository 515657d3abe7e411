"""A plan saved in a file, to review it and then apply exactly that plan.

A plan is the result of a pure function. So the file has the input of that function and digests of its result,
and `apply` computes the plan again: if the hosts, deploy.yml, the artifact, a secret or fapkit changed, they
differ. The file contains no secret. Secrets enter the digests through a key derived with scrypt (RFC 7914),
so the file does not help to guess passwords.

    {"plan": {...}, "sha256": "<of the bytes of plan>"}
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from artifact_store.core.hints import Hint
from faprelease.config.artifact_source import ArtifactSource
from faprelease.config.keys import Key
from faprelease.errors import ConfigError, FapError
from faprelease.plan import preview
from faprelease.plan.config_digest import config_digest
from faprelease.plan.host import Host, RunInfo
from faprelease.plan.preview import Preview
from faprelease.request import Request
from faprelease.steps.model import HostPlan, Plan
from faprelease.steps.place import Place

FORMAT = "fapkit plan/1"
_CHANGING = frozenset(["free", "locked", "frozen", "key", "problems"])
"""Facts of a host that may change at any time, or are secret."""
_AGAIN = Hint("plan again: faprelease plan {place} -o FILE")
_ROLLBACK_AGAIN = Hint("plan again: faprelease rollback {place} -o FILE")


class PlannedHost(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a host, and the digest of its scripts."""

    host: str
    role: str
    facts: dict[str, Any]
    scripts: str


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a rollback; see `release.rollback`."""

    to: str = ""
    force: bool = False
    renew: bool = False


class PlanFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that a plan was computed from."""

    format: str
    fapkit: str
    made: datetime
    by: str
    file: str
    stage: str
    role: str | None
    flags: dict[str, Any]
    again: tuple[str, ...]
    """Flags to give again, since they may contain a secret."""
    rerun: bool
    left: bool = False
    """Whether it may release what someone rolled back from (--again)."""
    allow_older: bool
    digest: str
    """The sha256 of the artifact; empty for a rollback."""
    root: str
    """Its root, if that was known."""
    back: Back | None
    """The arguments of a rollback; None for a release."""
    release: str
    """The id of the new release or of the rollback; empty if there is nothing to do."""
    salt: str
    """The salt for scrypt, in hexadecimal."""
    configuration: str
    """The digest of the whole configuration, including secrets."""
    hosts: tuple[PlannedHost, ...]
    shown: Preview | None


class _Envelope(msgspec.Struct, frozen=True):
    plan: msgspec.Raw
    sha256: str


def neutral_info(hosts: list[Host], release: str, salt: str) -> tuple[RunInfo, str]:
    """Return the run info for the digests of a plan, which is the same in every run, and the digest of the
    configuration."""
    digests = "".join(config_digest(host.target, host.plugins, salt) for host in hosts)
    key = hashlib.scrypt(digests.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=32).hex()
    info = RunInfo(who="", at=datetime(2000, 1, 1, tzinfo=UTC), token="", release=release, key=key)
    return info, hashlib.sha256(key.encode()).hexdigest()


def planned_hosts(plan: Plan | None, hosts: list[Host]) -> tuple[PlannedHost, ...]:
    """The hosts of a plan that was made with `neutral_info`. The plan is None if there is nothing to do."""
    digests: dict[Place, str] = {}
    for host in plan.hosts if plan else ():
        digests[host.place] = _digest(plan, host) if plan else ""
    return tuple(
        PlannedHost(
            host=host.target.host,
            role=host.target.settings.role,
            facts=_facts(host),
            scripts=digests.get(host.place, ""),
        )
        for host in hosts
    )


def _digest(plan: Plan, host: HostPlan) -> str:
    """The digest of all scripts of a host, its batch, and the handling of failures."""
    way = (plan.title, host.batch, plan.batch_wait, plan.keep)
    text = "\n".join([repr(way), *preview.scripts(replace(plan, hosts=(host,)))])
    return hashlib.sha256(text.encode()).hexdigest()


def flags_to_keep(
    flags: Mapping[str, Any], keys: Mapping[str, Key]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Split flags into those without secrets, with their values, and the names of the others."""
    open_ones = {
        name: value for name, value in flags.items() if name in keys and keys[name].redacted(value) == value
    }
    return open_ones, tuple(sorted(flags.keys() - open_ones.keys()))


def made(
    request: Request,
    hosts: list[Host],
    *,
    plan_of: Callable[[RunInfo], Plan] | None,
    info: RunInfo,
    source: ArtifactSource | None,
    back: Back | None,
    salt: str,
    keys: Mapping[str, Key],
    shown: Preview | None,
) -> PlanFile:
    """Return the file of a plan. `plan_of` makes the plan; None if there is nothing to do. `keys` are all
    keys that can be flags."""
    release = info.release if plan_of else ""
    neutral, configuration = neutral_info(hosts, release, salt)
    flags, again = flags_to_keep(request.flags, keys)
    return PlanFile(
        format=FORMAT,
        fapkit=_own_version(),
        made=info.at.replace(microsecond=0),
        by=info.who,
        file=str(request.file),
        stage=request.stage,
        role=request.role,
        flags=flags,
        again=again,
        rerun=request.rerun,
        left=request.again,
        allow_older=request.allow_older,
        digest=source.digest if source else "",
        root=source.root if source else "",
        back=back,
        release=release,
        salt=salt,
        configuration=configuration,
        hosts=planned_hosts(plan_of(neutral) if plan_of else None, hosts),
        shown=shown,
    )


def write(path: Path, plan: PlanFile) -> None:
    """Write a plan to a file that only its owner can read. Raises ConfigError."""
    data = msgspec.json.encode(plan)
    envelope = _Envelope(msgspec.Raw(data), hashlib.sha256(data).hexdigest())
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        number = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(msgspec.json.encode(envelope) + b"\n")
        unfinished.replace(path)
    except OSError as error:
        raise ConfigError(f"can't write the plan: {error}", hint="give another file: -o FILE") from error


def _own_version() -> str:
    from importlib.metadata import version  # loads slowly, and a release needs no saved plan

    return version("fapkit")


def read(path: Path) -> PlanFile:
    """Read a plan from a file. Raises ConfigError if it is not a plan, was changed, or is from another
    version of fapkit."""
    again = f"{path}: {{}}"
    try:
        envelope = msgspec.json.decode(path.read_bytes(), type=_Envelope)
        if hashlib.sha256(bytes(envelope.plan)).hexdigest() != envelope.sha256:
            raise ConfigError(again.format("the plan was changed after it was made"), hint=_AGAIN)
        made_by = json.loads(bytes(envelope.plan)).get("fapkit")
        if made_by != _own_version():
            raise ConfigError(
                again.format(f"made by fapkit {made_by}, this is {_own_version()}"), hint=_AGAIN
            )
        return msgspec.json.decode(envelope.plan, type=PlanFile)
    except OSError as error:
        raise ConfigError(f"can't read the plan: {error}", hint=_AGAIN) from error
    except (msgspec.MsgspecError, ValueError, AttributeError) as error:
        raise ConfigError(again.format("not a plan of faprelease"), hint=_AGAIN) from error


def request_of(planned: PlanFile, given: Mapping[str, Any], *, confirmed: bool) -> Request:
    """Return the request of a plan. `given` has the flags that the plan does not contain. Raises ConfigError
    if one is missing."""
    missing = [f"--{name.replace('_', '-')}" for name in planned.again if name not in given]
    if missing:
        raise ConfigError(
            f"the plan does not contain flags that may be secret: {', '.join(missing)}",
            hint=f"give them again: faprelease apply FILE {' '.join(f'{name} …' for name in missing)}",
        )
    return Request(
        file=Path(planned.file),
        stage=planned.stage,
        role=planned.role,
        flags={**planned.flags, **{name: given[name] for name in planned.again}},
        rerun=planned.rerun,
        again=planned.left,
        allow_older=planned.allow_older,
        confirmed=confirmed,
    )


def refuse_changed_hosts(planned: PlanFile, hosts: list[Host]) -> None:
    """Raise FapError if the hosts are not those of the plan, or have changed."""
    then = {_place(each): each.facts for each in planned.hosts}
    _refuse(planned, _changes(then, {host.place: _facts(host) for host in hosts}))


def refuse_other_plan(planned: PlanFile, plan_of: Callable[[RunInfo], Plan], hosts: list[Host]) -> None:
    """Raise FapError if the plan would be different now."""
    neutral, configuration = neutral_info(hosts, planned.release, planned.salt)
    if configuration != planned.configuration:
        _refuse(planned, iter(["the configuration: deploy.yml, a flag, or a secret"]))
    then = {_place(each): each.scripts for each in planned.hosts}
    now = {_place(each): each.scripts for each in planned_hosts(plan_of(neutral), hosts)}
    changed = [each for each in map(_place, planned.hosts) if now[each] != then[each]]
    _refuse(planned, (f"{place}: the steps to run" for place in changed))


def _refuse(planned: PlanFile, changes: Iterator[str]) -> None:
    changed = list(changes)
    if changed:
        listed = "\n".join(f"  {change}" for change in changed)
        again = _ROLLBACK_AGAIN if planned.back else _AGAIN
        raise FapError(f"not applied: this has changed since the plan was made:\n{listed}", hint=again)


def _changes(then: Mapping[Place, dict[str, Any]], now: Mapping[Place, dict[str, Any]]) -> Iterator[str]:
    yield from (f"{place} is no longer among the hosts" for place in then if place not in now)
    yield from (f"{place} is a new host" for place in now if place not in then)
    for place, facts in now.items():
        for name in sorted({*facts, *then.get(place, facts)}):
            before, after = then.get(place, facts).get(name), facts.get(name)
            if before != after:
                yield f"{place}: {name} was {_short(before)}, now {_short(after)}"


def _facts(host: Host) -> dict[str, Any]:
    facts = json.loads(msgspec.json.encode(host.state, order="deterministic"))
    return {name: value for name, value in facts.items() if name not in _CHANGING}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else "…" + text[-59:]


def _place(host: PlannedHost) -> Place:
    return Place(host.host, host.role)

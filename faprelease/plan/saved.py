"""A plan in a file, to be looked at and then carried out as it is.

A plan is made by a pure function, so the file keeps what it was made of and digests of what it became, and
`apply` makes it again: if the hosts, deploy.yml, the artifact, a secret or fapkit itself changed, one of
these differs. No secret is in the file. Secrets enter the digests by a key that scrypt (RFC 7914) makes of
them, so that nobody who finds the file can try out passwords against it.

    {"plan": {...}, "sha256": "<of the bytes of plan>"}
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from artifact_store.core.hints import Hint
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
_CHANGING = frozenset(["free", "locked", "frozen", "key"])
"""What a host says of itself that may differ at any time, or is a secret."""
_AGAIN = Hint("plan again: faprelease plan {place} -o FILE")
_ROLLBACK_AGAIN = Hint("plan again: faprelease rollback {place} -o FILE")


class PlannedHost(msgspec.Struct, frozen=True, kw_only=True):
    """What a host was, and the digest of the scripts that this led to."""

    host: str
    role: str
    facts: dict[str, Any]
    scripts: str


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rollback was asked to go; see `release.rollback`."""

    to: str = ""
    force: bool = False
    renew: bool = False


class PlanFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a plan was made of."""

    format: str
    fapkit: str
    made: datetime
    by: str
    file: str
    stage: str
    role: str | None
    flags: dict[str, Any]
    again: tuple[str, ...]
    """The flags that have to be given again, since they may hold a secret."""
    rerun: bool
    allow_older: bool
    digest: str
    """The sha256 of the artifact; empty for a rollback."""
    back: Back | None
    """What a rollback was asked for; None for a release."""
    release: str
    """The id that the new release or the rollback will have; empty where there was nothing to do."""
    salt: str
    """For scrypt, in hexadecimal."""
    configuration: str
    """A digest of all that is configured, secrets included."""
    hosts: tuple[PlannedHost, ...]
    shown: Preview | None


class _Envelope(msgspec.Struct, frozen=True):
    plan: msgspec.Raw
    sha256: str


def neutral_info(hosts: list[Host], release: str, salt: str) -> tuple[RunInfo, str]:
    """The run info that a plan's digests are made with, the same for every run, and a digest of the
    configuration."""
    told = "".join(config_digest(host.target, host.plugins, salt) for host in hosts)
    key = hashlib.scrypt(told.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1, dklen=32).hex()
    info = RunInfo(who="", at=datetime(2000, 1, 1, tzinfo=UTC), token="", release=release, key=key)
    return info, hashlib.sha256(key.encode()).hexdigest()


def planned_hosts(plan: Plan | None, hosts: list[Host]) -> tuple[PlannedHost, ...]:
    """The hosts of a plan that was made with a `neutral_order`, None where there is nothing to do."""
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
    """Of all that is done on a host, in which batch, and what becomes of it if another one fails."""
    way = (plan.title, host.batch, plan.batch_wait, plan.keep)
    text = "\n".join([repr(way), *preview.scripts(replace(plan, hosts=(host,)))])
    return hashlib.sha256(text.encode()).hexdigest()


def flags_to_keep(
    flags: Mapping[str, Any], keys: Mapping[str, Key]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Those of the command line that anyone may see, and the names of the others."""
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
    digest: str,
    back: Back | None,
    salt: str,
    keys: Mapping[str, Key],
    shown: Preview | None,
) -> PlanFile:
    """The file of a plan that `plan_of` makes for a run; None where there is nothing to do. `keys` are all
    that can be flags."""
    release = info.release if plan_of else ""
    neutral, configuration = neutral_info(hosts, release, salt)
    flags, again = flags_to_keep(request.flags, keys)
    return PlanFile(
        format=FORMAT,
        fapkit=version("fapkit"),
        made=info.at.replace(microsecond=0),
        by=info.who,
        file=str(request.file),
        stage=request.stage,
        role=request.role,
        flags=flags,
        again=again,
        rerun=request.rerun,
        allow_older=request.allow_older,
        digest=digest,
        back=back,
        release=release,
        salt=salt,
        configuration=configuration,
        hosts=planned_hosts(plan_of(neutral) if plan_of else None, hosts),
        shown=shown,
    )


def write(path: Path, plan: PlanFile) -> None:
    """Put a plan into a file that only its owner reads; raises ConfigError."""
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


def read(path: Path) -> PlanFile:
    """The plan of a file; raises ConfigError for one that is none, was changed, or is of another fapkit."""
    again = f"{path}: {{}}"
    try:
        envelope = msgspec.json.decode(path.read_bytes(), type=_Envelope)
        if hashlib.sha256(bytes(envelope.plan)).hexdigest() != envelope.sha256:
            raise ConfigError(again.format("the plan was changed after it was made"), hint=_AGAIN)
        made_by = json.loads(bytes(envelope.plan)).get("fapkit")
        if made_by != version("fapkit"):
            raise ConfigError(
                again.format(f"made by fapkit {made_by}, this is {version('fapkit')}"), hint=_AGAIN
            )
        return msgspec.json.decode(envelope.plan, type=PlanFile)
    except OSError as error:
        raise ConfigError(f"can't read the plan: {error}", hint=_AGAIN) from error
    except (msgspec.MsgspecError, ValueError, AttributeError) as error:
        raise ConfigError(again.format("not a plan of faprelease"), hint=_AGAIN) from error


def request_of(planned: PlanFile, given: Mapping[str, Any], *, confirmed: bool) -> Request:
    """What a plan asks for; `given` are the flags that it does not hold. Raises ConfigError if one is
    missing."""
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
        allow_older=planned.allow_older,
        confirmed=confirmed,
    )


def refuse_changed_hosts(planned: PlanFile, hosts: list[Host]) -> None:
    """Raise FapError if the hosts are not those of the plan, or not as they were."""
    then = {_place(each): each.facts for each in planned.hosts}
    _refuse(planned, _changes(then, {host.place: _facts(host) for host in hosts}))


def refuse_other_plan(planned: PlanFile, plan_of: Callable[[RunInfo], Plan], hosts: list[Host]) -> None:
    """Raise FapError if what is to be done now is not what was planned."""
    neutral, configuration = neutral_info(hosts, planned.release, planned.salt)
    if configuration != planned.configuration:
        _refuse(planned, iter(["the configuration: deploy.yml, a flag, or a secret"]))
    then = {_place(each): each.scripts for each in planned.hosts}
    now = {_place(each): each.scripts for each in planned_hosts(plan_of(neutral), hosts)}
    changed = [each for each in map(_place, planned.hosts) if now[each] != then[each]]
    _refuse(planned, (f"{place}: the steps to run" for place in changed))


def _refuse(planned: PlanFile, changes: Iterator[str]) -> None:
    found = list(changes)
    if found:
        listed = "\n".join(f"  {change}" for change in found)
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

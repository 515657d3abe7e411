"""The history of a stage: the ledgers of its hosts and the records of the store, as one list. Pure."""

from collections.abc import Iterable

import msgspec

from artifact_store.records.releases import ReleaseRecord
from faprelease.config.target import Target
from faprelease.hosts.host_json import decode
from faprelease.hosts.state import Unpacked
from faprelease.steps.model import Step, host_script

LINES = 500
"""How many of the last lines of a host's ledger are read."""


class LedgerLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `ledger.jsonl`."""

    at: str
    event: str
    who: str = ""
    release: str = ""
    leaving: str = msgspec.field(default="", name="from")
    artifact: Unpacked | None = None
    why: str = ""
    command: str = ""
    code: int | None = None


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event, on one or several hosts."""

    at: str
    role: str
    event: str
    release: str
    version: str
    leaving: str
    who: str
    hosts: tuple[str, ...]
    more: str = ""
    """The reason, or a command and its exit code, or the outcome of the run."""


def read_ledger(target: Target) -> Step:
    """The step that prints the end of a host's ledger. It changes nothing."""
    return host_script("read the ledger", "look/history", state=target.layout.state, lines=str(LINES))


def parse(output: str) -> list[LedgerLine]:
    """The lines of a ledger. Incomplete lines (from a kill or a full disk) are skipped."""
    lines = []
    for text in output.splitlines():
        try:
            lines.append(decode(text, LedgerLine))
        except ValueError:
            continue
    return lines


def merge(
    ledgers: Iterable[tuple[Target, list[LedgerLine]]], records: Iterable[ReleaseRecord] = ()
) -> list[HistoryRow]:
    """Merge ledgers and records, the oldest first. An event on several hosts of a role is one row.

    Records of the store are only used for releases in no ledger, of hosts that were removed.
    """
    places: dict[tuple[str, LedgerLine], list[str]] = {}
    for target, lines in ledgers:
        for line in lines:
            places.setdefault((target.settings.role, line), []).append(target.host)
    events = [_of_hosts(role, line, hosts) for (role, line), hosts in places.items()]
    known = {(event.role, event.release) for event in events}
    events += [_of_store(record) for record in records if (record.role, record.release) not in known]
    return sorted(events, key=lambda event: event.at)


def _of_hosts(role: str, line: LedgerLine, hosts: list[str]) -> HistoryRow:
    ended = "" if line.code is None else f"{line.command}: exit {line.code}"
    return HistoryRow(
        at=line.at,
        role=role,
        event=line.event,
        release=line.release,
        version=line.artifact.version if line.artifact else "",
        leaving=line.leaving,
        who=line.who,
        hosts=tuple(hosts),
        more=line.why or ended,
    )


def _of_store(record: ReleaseRecord) -> HistoryRow:
    return HistoryRow(
        at=record.at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        role=record.role,
        event="released" if record.action == "release" else "rolled back",
        release=record.release,
        version=record.version,
        leaving=record.previous,
        who=record.who,
        hosts=tuple(host.host for host in record.hosts),
        more=f"{record.outcome}, according to the store",
    )

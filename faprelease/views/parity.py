"""Dev/prod parity (12factor.net, X): how the hosts of two stages differ. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from artifact_store.core.finding import Finding
from faprelease.errors import UnreachableError
from faprelease.steps.place import Place
from faprelease.views.diagnosis import Case, InspectedHost

Profile: TypeAlias = Mapping[str, frozenset[str]]
"""The properties of the hosts of a role: the values on its hosts, by property."""

VERSION = "version"
_PROPERTIES: Mapping[str, Callable[[InspectedHost], Iterable[str]]] = {
    "Python": lambda inspected: inspected.report.pythons[:1],
    "glibc": lambda inspected: [inspected.report.glibc or "none"],
    "machine": lambda inspected: [inspected.report.machine],
    "variables": lambda inspected: inspected.target.settings.environment.keys() | inspected.report.variables,
    "linked files": lambda inspected: map(_of_any_stage(inspected), inspected.target.settings.linked_files),
    "linked folders": lambda inspected: map(_of_any_stage(inspected), inspected.target.settings.linked_dirs),
    "plugins": lambda inspected: [name.rpartition(".")[2] for name in inspected.target.settings.plugins],
    VERSION: lambda inspected: [inspected.version or "nothing"],
}


def profiles(case: Case, lost: Mapping[Place, str]) -> dict[str, Profile]:
    """The profile of each role of a stage. Raises UnreachableError if a host of it was not reached."""
    if lost:
        raise UnreachableError("\n".join(lost.values()), hint="compare again when all hosts can be reached")
    roles: dict[str, list[InspectedHost]] = {}
    for inspected in case.hosts:
        roles.setdefault(inspected.target.settings.role, []).append(inspected)
    return {
        role: {
            name: frozenset(value for inspected in hosts for value in values_of(inspected))
            for name, values_of in _PROPERTIES.items()
        }
        for role, hosts in roles.items()
    }


def findings(
    one: tuple[str, Mapping[str, Profile]], other: tuple[str, Mapping[str, Profile]]
) -> list[Finding]:
    """Compare two stages by role: `wrong` for each difference, but a different version is only a `note`."""
    (left, lefts), (right, rights) = one, other
    result = []
    for role in [*lefts, *(role for role in rights if role not in lefts)]:
        check = f"X parity, {role}"
        if role not in lefts or role not in rights:
            missing, fix = (left if role in rights else right), f"add hosts of {role} to deploy.yml"
            result.append(Finding(check, "note", f"{missing} has no role {role}", fix))
            continue
        for name in _PROPERTIES:
            left_values, right_values = lefts[role][name], rights[role][name]
            if left_values == right_values:
                result.append(Finding(check, "right", f"{name}: {_words(left_values)}"))
                continue
            left_only, right_only = _words(left_values - right_values), _words(right_values - left_values)
            says = f"{name}: {left} {left_only}, {right} {right_only}"
            if name == VERSION:
                result.append(Finding(check, "note", says, f"fapstore diff APP {left} {right}"))
            else:
                result.append(Finding(check, "wrong", says, "make them the same, or know why they differ"))
    return result


def _of_any_stage(inspected: InspectedHost) -> Callable[[str], str]:
    """Replace the stage in a name: `configs/production.py` and `configs/staging.py` are the same file."""
    return lambda name: name.replace(inspected.target.settings.stage, "STAGE")


def _words(values: Iterable[str]) -> str:
    return ", ".join(sorted(values)) or "none"

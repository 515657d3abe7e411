"""Dev/prod parity (12factor.net, X): what the hosts of two stages have in common, and what not. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from artifact_store.core.finding import Finding
from faprelease.errors import UnreachableError
from faprelease.steps.place import Place
from faprelease.views.diagnosis import Case, Patient

Profile: TypeAlias = Mapping[str, frozenset[str]]
"""What the hosts of a role are, by the name of each side of it."""

VERSION = "version"
_SIDES: Mapping[str, Callable[[Patient], Iterable[str]]] = {
    "Python": lambda patient: patient.report.pythons[:1],
    "glibc": lambda patient: [patient.report.glibc or "none"],
    "machine": lambda patient: [patient.report.machine],
    "variables": lambda patient: patient.target.settings.environment.keys() | patient.report.variables,
    "linked files": lambda patient: map(_of_any_stage(patient), patient.target.settings.linked_files),
    "linked folders": lambda patient: map(_of_any_stage(patient), patient.target.settings.linked_dirs),
    "plugins": lambda patient: [name.rpartition(".")[2] for name in patient.target.settings.plugins],
    VERSION: lambda patient: [patient.version or "nothing"],
}


def profiles(case: Case, lost: Mapping[Place, str]) -> dict[str, Profile]:
    """What each role of a stage is; UnreachableError if a host of it was not reached."""
    if lost:
        raise UnreachableError("\n".join(lost.values()), hint="compare again when all hosts can be reached")
    roles: dict[str, list[Patient]] = {}
    for patient in case.patients:
        roles.setdefault(patient.target.settings.role, []).append(patient)
    return {
        role: {
            side: frozenset(value for patient in patients for value in of(patient))
            for side, of in _SIDES.items()
        }
        for role, patients in roles.items()
    }


def findings(
    one: tuple[str, Mapping[str, Profile]], other: tuple[str, Mapping[str, Profile]]
) -> list[Finding]:
    """What is the same and what is not, by role. Another version is a note."""
    (left, lefts), (right, rights) = one, other
    found = []
    for role in [*lefts, *(role for role in rights if role not in lefts)]:
        check = f"X parity, {role}"
        if role not in lefts or role not in rights:
            missing, fix = (left if role in rights else right), f"add hosts of {role} to deploy.yml"
            found.append(Finding(check, "note", f"{missing} has no role {role}", fix))
            continue
        for side in _SIDES:
            mine, theirs = lefts[role][side], rights[role][side]
            if mine == theirs:
                found.append(Finding(check, "right", f"{side}: {_words(mine)}"))
                continue
            says = f"{side}: {left} {_words(mine - theirs)}, {right} {_words(theirs - mine)}"
            if side == VERSION:
                found.append(Finding(check, "note", says, f"fapstore diff APP {left} {right}"))
            else:
                found.append(Finding(check, "wrong", says, "make them the same, or know why they differ"))
    return found


def _of_any_stage(patient: Patient) -> Callable[[str], str]:
    """`configs/production.py` and `configs/staging.py` are one file with two contents."""
    return lambda name: name.replace(patient.target.settings.stage, "STAGE")


def _words(values: Iterable[str]) -> str:
    return ", ".join(sorted(values)) or "none"

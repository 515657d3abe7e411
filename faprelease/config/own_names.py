"""The lines of deploy.yml that give a deployment names of its own on a host. Pure."""

import posixpath
from collections.abc import Container, Iterable

from faprelease.config.target import Target

_OWN = "%(app_name)s_%(stage)s_%(role)s"
_NEXT_PORTS = 1000
"""How far the suggested ports are from those that another deployment has."""


def taken(target: Target, claims: Iterable[str], theirs: Container[str] | None) -> list[str]:
    """The names of a deployment, each as `KEY: VALUE`, that another one on its host has too.

    If `theirs` are not known, they are those without the stage and the role; ports are not known then.
    """
    if theirs is not None:
        return [claim for claim in claims if claim in theirs]
    stage, role = target.settings.stage, target.settings.role
    return [
        claim
        for claim in claims
        if not claim.startswith("process_port") and not (stage in claim and role in claim)
    ]


def hint(target: Target, names: Iterable[str]) -> str:
    """The lines that replace these names by others, in their place in deploy.yml."""
    settings = target.settings
    own = {key: value for name in names for key, value in _own(target, *name.split(": ", 1))}
    lines = [
        "give this stage and role names of their own in deploy.yml:",
        "stage_role_configs:",
        f"  {settings.stage}:",
        f"    {settings.role}:",
        *(f"      {key}: {value}" for key, value in own.items()),
    ]
    if "supervisor_program" in own and not settings.processes:
        name = f"{settings.app_name}_{settings.stage}_{settings.role}"
        lines.append(f"and name it so in {target.plugin_values['supervisor_conf']}: [program:{name}]")
    return "\n".join(lines)


def _own(target: Target, key: str, value: str) -> Iterable[tuple[str, str]]:
    if key == "path":
        yield key, f'"{value}-%(stage)s-%(role)s"'
    elif key == "process_port":
        yield key, str(target.settings.process_port + _NEXT_PORTS)
    elif key == "systemd_unit":
        yield key, f'"{_OWN}.service"'
    elif key in ("supervisor_program", "supervisor_target"):
        yield "supervisor_program", f'"{_OWN}"'
        if target.origins["supervisor_target"] != "default":  # which follows supervisor_program
            folder, name = posixpath.split(str(target.plugin_values["supervisor_target"]))
            suffix = posixpath.splitext(name)[1]
            yield "supervisor_target", f'"{folder}/%(supervisor_program)s{suffix}"'
    else:
        yield key, "another value"

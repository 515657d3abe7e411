"""The requirements of an artifact that a host does not meet. Pure."""

from collections.abc import Iterator

from artifact_store.artifact.manifest import Manifest
from faprelease.config.target import Target
from faprelease.views.host_report import HostReport, python_of

Problem = tuple[str, str]
"""What is wrong, and what to do about it."""


def dependencies(wanted: Manifest, report: HostReport) -> Iterator[Problem]:
    """Yield what the host lacks: the Python, processor, glibc and libraries of the artifact."""
    name, platform = wanted.version, wanted.target
    python = python_of(wanted)
    pack = f"pack for this host: fapbuild pack --target {_target_of(report)}"
    fitting = [version for version in report.pythons if version.startswith(f"{python}.")]
    if not fitting:
        have = ", ".join(report.pythons) or "none"
        yield (
            f"{name} needs Python {python}, but the host has {have}",
            f"install python{python}, or {pack}",
        )
    elif all(_numbers(version) < _numbers(platform.least_python) for version in fitting):
        yield (
            f"{name} needs Python {platform.least_python} or newer, but the host has {', '.join(fitting)}",
            f"install a newer python{python}, or {pack}",
        )
    if not platform.platform.endswith(report.machine):
        yield f"{name} is for {platform.platform}, but the host is {report.machine}", pack
    if platform.glibc and _numbers(report.glibc) < _numbers(platform.glibc):
        have = report.glibc or "another C library"
        yield f"{name} needs glibc {platform.glibc}, but the host has {have}", pack
    if report.lacks:
        fix = f"install them; find the package: apt-file search {report.lacks[0]}"
        yield f"{name} needs libraries that are not installed: {', '.join(report.lacks)}", fix


def variables(wanted: Manifest, target: Target, known: frozenset[str]) -> Iterator[Problem]:
    """Yield the variables that the artifact needs and nothing sets; `known` are those of the host's file."""
    given = target.settings.environment.keys() | known
    if missing := [name for name in wanted.requires_env if name not in given]:
        lines = ", ".join(f"{name}: {{env: {name}}}" for name in missing)
        says = f"{wanted.version} needs variables that are not set: {', '.join(missing)}"
        yield says, f"in deploy.yml: environment: {{{lines}}}"


def _target_of(report: HostReport) -> str:
    python = "".join((report.pythons or ("3.12",))[0].split(".")[:2])
    glibc = report.glibc.replace(".", "_") or "2_28"
    return f"cp{python}-manylinux_{glibc}_{report.machine or 'x86_64'}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())

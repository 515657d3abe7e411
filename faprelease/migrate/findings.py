"""The result of a migration: two files, and a verdict on every line of the old one."""

import json
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["kept", "changed", "build", "dropped", "yours"]
"""Kept unchanged; written differently; done by the build now; not needed; yours to decide."""


@dataclass(frozen=True)
class Finding:
    """One key (or block) of the old file, its place there, and the verdict on it."""

    where: str
    what: str
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class AssetStep:
    """Commands that compile something, which ran on hosts or by hand."""

    name: str
    run: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    directory: str = ""


@dataclass(frozen=True, kw_only=True)
class Build:
    """The contents of `fapbuild.toml`."""

    app: str
    requirements: str = ""
    only: tuple[str, ...] = ()
    """The only paths to pack; empty for all committed files."""
    post_install: tuple[str, ...] = ()
    assets: tuple[AssetStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The new files, and the report."""

    deploy: str
    build: Build
    findings: tuple[Finding, ...] = field(default=())


def toml(build: Build) -> str:
    """Return a `fapbuild.toml`, as in docs/fapbuild.toml. Strings and lists are the same in JSON and TOML."""
    lines = [
        "# Settings of the build. `fapbuild init` inspects the project, and may find more settings.",
        f"app = {json.dumps(build.app)}",
    ]
    if build.requirements:
        lines += [f"requirements = {json.dumps(build.requirements)}  # lock it with hashes: fapbuild lock"]
    if build.only:
        patterns = ["/*", *(f"!/{path.strip('/')}" for path in build.only)]
        lines += [f"exclude = {json.dumps(patterns)}  # only these are packed, as before"]
    if build.post_install:
        lines += [f"post_install = {json.dumps(list(build.post_install))}"]
    for step in build.assets:
        lines += ["", "[[assets]]", f"name = {json.dumps(step.name)}", f"run = {json.dumps(list(step.run))}"]
        if step.directory:
            lines += [f"directory = {json.dumps(step.directory)}"]
        missing = "" if step.outputs else "  # list the files and folders that it creates"
        lines += [f"outputs = {json.dumps(list(step.outputs))}{missing}"]
    return "\n".join(lines) + "\n"

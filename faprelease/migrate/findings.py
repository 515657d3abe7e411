"""What a migration gives: two files, and what became of every line of the old one."""

import json
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["kept", "changed", "build", "dropped", "yours"]
"""kept as it is; said in another way; done at build time now; not needed; left for you to decide."""


@dataclass(frozen=True)
class Finding:
    """One key (or block) of the old file, where it stood, and what became of it."""

    where: str
    what: str
    verdict: Verdict
    why: str = ""


@dataclass(frozen=True)
class AssetStep:
    """Commands that ran on hosts, or by hand, and compile something."""

    name: str
    run: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    directory: str = ""


@dataclass(frozen=True, kw_only=True)
class Build:
    """What `fapbuild.toml` has to say."""

    app: str
    requirements: str = ""
    only: tuple[str, ...] = ()
    """The only paths that are packed; all that is committed, if there are none."""
    post_install: tuple[str, ...] = ()
    assets: tuple[AssetStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Migration:
    """The new files' texts, and the report."""

    deploy: str
    build: Build
    findings: tuple[Finding, ...] = field(default=())


def toml(build: Build) -> str:
    """`fapbuild.toml`, as docs/fapbuild.toml describes it. JSON's strings and lists are TOML's too."""
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

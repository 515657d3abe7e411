"""The person or program that writes to a store, as records and log entries state it."""

import getpass
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import msgspec


@dataclass(frozen=True)
class Actor:
    """A person or program that changes a store."""

    who: str
    ci: str = ""
    """The URL of the CI run, or empty."""

    @classmethod
    def current(cls, environ: Mapping[str, str] = os.environ) -> "Actor":
        """The user and the CI run of this process."""
        return cls(who(environ), ci_run(environ))


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """The author, time and id of something that is written."""

    who: str
    at: datetime
    """In UTC, by the writer's clock."""
    ci: str
    """The URL of the CI run, or empty."""
    operation: str
    """A new random id. A writer whose reply was lost recognises its own object by it."""


def who(environ: Mapping[str, str] = os.environ) -> str:
    """The value of FAP_WHO, or else user@host."""
    if named := environ.get("FAP_WHO", "").strip():
        return named
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid{os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def ci_run(environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the CI run of this process, or empty.

    Knows GitHub Actions, GitLab (the job), Buildkite (the job), CircleCI, Azure Pipelines and Jenkins by the
    variables that each one sets. A value that is not a URL of printable ASCII counts as none.
    """
    urls = (run(environ) for run in (_github, _gitlab, _buildkite, _circleci, _azure, _jenkins))
    return next((url for url in urls if _URL.fullmatch(url)), "")


_URL = re.compile(r"https?://[!-~]{1,2000}")


def _github(environ: Mapping[str, str]) -> str:
    # docs.github.com, "Variables reference"
    parts = [environ.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    if not all(parts):
        return ""
    server, repository, run = parts
    return f"{server}/{repository}/actions/runs/{run}"


def _gitlab(environ: Mapping[str, str]) -> str:
    # docs.gitlab.com, "Predefined CI/CD variables reference"
    return environ.get("CI_JOB_URL", "") if environ.get("GITLAB_CI") else ""


def _buildkite(environ: Mapping[str, str]) -> str:
    # buildkite.com/docs, "Environment variables"
    build, job = environ.get("BUILDKITE_BUILD_URL", ""), environ.get("BUILDKITE_JOB_ID", "")
    return f"{build}#{job}" if build and job else build


def _circleci(environ: Mapping[str, str]) -> str:
    # circleci.com/docs, "Project values and variables"
    return environ.get("CIRCLE_BUILD_URL", "")


def _azure(environ: Mapping[str, str]) -> str:
    # learn.microsoft.com, "Use predefined variables": the collection's URI ends with a slash
    names = ("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMPROJECT", "BUILD_BUILDID")
    collection, project, build = (environ.get(name, "") for name in names)
    if not (collection and project and build):
        return ""
    return f"{collection.rstrip('/')}/{quote(project, safe='')}/_build/results?buildId={build}"


def _jenkins(environ: Mapping[str, str]) -> str:
    # jenkins.io/doc, "Using a Jenkinsfile"; other programs set BUILD_URL too
    return environ.get("BUILD_URL", "") if environ.get("JENKINS_URL") else ""

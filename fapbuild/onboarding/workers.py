"""Finds the workers of a project: processes that take jobs from a queue."""

import ast
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from fapbuild.onboarding.applications import assigned, import_name, is_ours, parsed

_OF_DJANGO = {
    "django-rq": ("rqworker", "django_rq"),
    "huey": ("run_huey", "huey.contrib.djhuey"),
    "django-dramatiq": ("rundramatiq", "django_dramatiq"),
    "django-q2": ("qcluster", "django_q"),
}
"""By package: the command of manage.py, and the app in INSTALLED_APPS that brings it."""
_PERIODIC = re.compile(
    r"\bbeat_schedule\b|\bCELERY_?BEAT_SCHEDULE\b|\badd_periodic_task\(|[\"']django_celery_beat[\"']"
)
_QUEUES = ("celery", "rq", "huey", "dramatiq", "arq", "taskiq")


@dataclass(frozen=True)
class Workers:
    """The commands of workers by process, and the queues whose worker was not found."""

    processes: dict[str, str]
    unsure: tuple[str, ...]
    beat: str = ""
    """The command that starts periodic tasks of Celery, if there are any; on one host alone."""

    def with_worker(self, command: str) -> "Workers":
        """These workers, and one more process, unless its command is empty."""
        return replace(self, processes={**self.processes, "worker": command}) if command else self


def find(
    files: Collection[str],
    read: Callable[[str], str],
    packages: Collection[str],
    manage: str | None,
    installed: bool,
) -> Workers:
    """The workers of a project with these packages; `manage` is the folder of Django's manage.py, if any."""
    settings = "".join(read(path) for path in files if re.search(r"(^|/)settings\b.*\.py$", path))
    processes: dict[str, str] = {}
    known: set[str] = set()
    beat = ""
    for package, (command, app) in _OF_DJANGO.items():
        if package in packages and manage is not None and app in settings:
            processes["worker"] = _in(manage, f"python manage.py {command}")
            known |= {queue for queue in _QUEUES if queue in package}
    if "celery" in packages and len(places := _celery(files, read)) == 1:
        ((directory, module),) = places
        where = "." if installed and directory == "src" else directory
        processes["worker"] = _in(where, f"celery -A {module} worker")
        known.add("celery")
        periodic = any(_PERIODIC.search(read(path)) for path in files if is_ours(path))
        beat = _in(where, f"celery -A {module} beat") if periodic else ""
    unsure = tuple(queue for queue in _QUEUES if queue in packages and queue not in known)
    return Workers(processes, unsure, beat)


def _in(directory: str, command: str) -> str:
    return command if directory == "." else f"cd {directory} && exec {command}"


def _celery(files: Collection[str], read: Callable[[str], str]) -> set[tuple[str, str]]:
    """The modules that make an application of Celery, each with the folder in which it is imported."""
    return {
        import_name(path, files, read)
        for path in sorted(files)
        if (tree := parsed(path, read, re.compile(r"\bCelery\("))) is not None
        and any(
            isinstance(value, ast.Call) and ast.unparse(value.func).rpartition(".")[2] == "Celery"
            for _, value in assigned(tree.body)
        )
    }

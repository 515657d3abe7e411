"""Work on many hosts at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

from artifact_store.core.hints import Hint
from faprelease.errors import FapError, LockedError

T = TypeVar("T")
R = TypeVar("R")
MOST_THREADS = 64


def in_parallel(items: Sequence[T], work: Callable[[T], R]) -> list[R]:
    """Run `work` on all items at once; return results in order.

    After all have ended, an exception is raised if some failed: the first that is no FapError, otherwise one
    error for all that failed alike.
    """
    if len(items) == 1:
        return [work(items[0])]
    futures = [_threads().submit(work, item) for item in items]
    wait(futures)
    errors = [error for future in futures if (error := future.exception())]
    if errors:
        raise _together(errors)
    return [future.result() for future in futures]


def _together(errors: list[BaseException]) -> BaseException:
    """Return one error for all of the same kind as the first. A held lock counts least: it may be free soon,
    and what else is wrong stays."""
    known = sorted(errors, key=lambda error: type(error) is LockedError)
    first = next((error for error in known if not isinstance(error, FapError)), known[0])
    alike = [error for error in known if isinstance(error, FapError) and type(error) is type(first)]
    if len(alike) < 2 or not isinstance(first, FapError):
        return first
    messages = dict.fromkeys(error.message for error in alike)
    return type(first)("\n".join(messages), hint=Hint.lines(error.hint for error in alike))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS)

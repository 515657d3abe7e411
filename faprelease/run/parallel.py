"""Work on many hosts at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
MOST_THREADS = 64


def in_parallel(items: Sequence[T], work: Callable[[T], R]) -> list[R]:
    """Run `work` on all items at once; return results in order. After all have ended, the first exception is
    raised."""
    if len(items) == 1:
        return [work(items[0])]
    futures = [_threads().submit(work, item) for item in items]
    wait(futures)
    return [future.result() for future in futures]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_THREADS)

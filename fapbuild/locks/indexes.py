"""The package indexes that a lock's packages may come from: pip takes the highest version of all of them."""

import os
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from artifact_store.core.urls import redact_url

PYPI = "https://pypi.org/simple"
_WORKERS = 8
_TIMEOUT = 10.0
_SHOWN = 10

Has = Callable[[str, str], bool | None]
"""Whether an index has a package; None if it does not say."""


def warnings(packages: Iterable[str], indexes: Sequence[str], has: Has | None = None) -> list[str]:
    """Lines for people about packages that could come from another index than they should.

    `indexes` are all that pip searches. There is nothing to say about one index.
    """
    indexes = list(dict.fromkeys(url.rstrip("/") for url in indexes))
    if len(indexes) < 2:
        return []
    names = sorted(packages)
    with ThreadPoolExecutor(_WORKERS) as pool:
        asked = [(name, index) for name in names for index in indexes]
        answers = dict(zip(asked, pool.map(lambda pair: (has or _has)(*pair), asked), strict=True))
    shown = [redact_url(index) for index in indexes]
    lines = [
        f"warning: pip searches {' and '.join(shown)}, and takes the highest version of any; "
        "the lock does not record where a package came from"
    ]
    for places, group in _by_places(names, indexes, answers).items():
        listed = ", ".join(group[:_SHOWN]) + (f" and {len(group) - _SHOWN} more" if group[_SHOWN:] else "")
        have = " and ".join(shown[number] for number in places)
        others = " or ".join(url for number, url in enumerate(shown) if number not in places)
        if len(places) > 1:
            lines.append(f"  from {have}: {listed}")
        elif places:
            lines.append(f"  only from {have}, as long as nobody registers the name at {others}: {listed}")
        else:
            lines.append(f"  no index answered that it has: {listed}")
    return [
        *lines,
        "hint: look at new hashes before you commit the lock: git diff. For one index per package, lock with "
        "uv and [tool.uv.sources]; or use one index that has all: "
        "PIP_EXTRA_INDEX_URL= PIP_INDEX_URL=URL fapbuild lock",
    ]


def _by_places(
    names: Sequence[str], indexes: Sequence[str], answers: Mapping[tuple[str, str], bool | None]
) -> dict[tuple[int, ...], list[str]]:
    """The packages by the numbers of the indexes that have them."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        places = tuple(number for number, index in enumerate(indexes) if answers[name, index])
        groups.setdefault(places, []).append(name)
    return groups


def _has(package: str, index: str) -> bool | None:
    """Ask for the page of the package (PEP 503): with the logins of a netrc, as pip does."""
    if index.startswith("file://"):
        return (Path(unquote(urlsplit(index).path)) / package).exists()
    import httpx

    try:
        netrc = httpx.NetRCAuth(os.environ.get("NETRC"))
    except (OSError, SyntaxError):  # there is none
        netrc = None
    verify = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
    try:
        with (
            httpx.Client(auth=netrc, verify=verify, timeout=_TIMEOUT, follow_redirects=True) as client,
            client.stream("GET", f"{index}/{package}/") as response,
        ):
            status = response.status_code
    except (httpx.HTTPError, httpx.InvalidURL):
        return None
    return True if status == httpx.codes.OK else False if status == httpx.codes.NOT_FOUND else None

"""The part of an app's log that is shown when its release failed."""

import pytest

from faprelease.host.programs import lastlines

TRACEBACK = "Traceback (most recent call last):\n  File 'wsgi.py', line 6\n    v.MODE\n"
RAISED = f"{TRACEBACK}RuntimeError: no"
CHAIN = "\n\nDuring handling of the above exception, another exception occurred:\n\n"
BOTH = f"{TRACEBACK}KeyError: 1{CHAIN}{RAISED}"
BANNER = "".join(f"[INFO] banner {number}\n" for number in range(20))
LAST = "\n".join(BANNER.splitlines()[-10:])
LAST_TWO = "\n".join(BANNER.splitlines()[-2:])


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        ("", ""),
        ("one\ntwo\n", "one\ntwo"),
        (BANNER, LAST),
        (f"{BANNER}[ERROR] in worker\n{RAISED}\n{BANNER}", f"{RAISED}\n…\n{LAST}"),
        (f"{BANNER}1\n2\n3\n{RAISED}\nend", f"{LAST_TWO}\n1\n2\n3\n{RAISED}\nend"),
        (f"{RAISED} 1\n{RAISED} 2\n{BANNER}", f"{RAISED} 2\n…\n{LAST}"),
        (f"{BOTH}\n{BANNER}", f"{BOTH}\n…\n{LAST}"),
    ],
)
def test_the_last_traceback_and_the_last_lines_are_shown(log: str, shown: str) -> None:
    assert lastlines.shown(log) == shown

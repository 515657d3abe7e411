"""Finds programs of a wheel that have a Python in them, as uWSGI's has: that of the machine that built it."""

import re
import zipfile
from pathlib import Path

_SCRIPT = re.compile(r"[^/]+\.data/scripts/([^/]+)")


def program(wheel: Path) -> str:
    """The first compiled script that starts Python itself (docs.python.org/3/extending/embedding.html).

    Empty if there is none, or if the wheel was published for every Linux. Raises the errors of zipfile for a
    file that is not a wheel.
    """
    if "-linux_" not in wheel.name:
        return ""
    with zipfile.ZipFile(wheel) as archive:
        return in_archive(archive)


def in_archive(archive: zipfile.ZipFile) -> str:
    """The same, of an open wheel that was built somewhere."""
    for item in archive.infolist():
        if match := _SCRIPT.fullmatch(item.filename):
            data = archive.read(item)
            if data.startswith(b"\x7fELF") and b"Py_Initialize" in data:
                return match[1]
    return ""

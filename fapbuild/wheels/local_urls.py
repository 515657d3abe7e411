"""Takes the folder of a build out of a wheel: Poetry writes where path dependencies are on the builder.

`Requires-Dist: shared @ file:///tmp/…/shared` becomes `Requires-Dist: shared`; the lock has that package.
Formats: core metadata (Requires-Dist, PEP 508), RECORD (hashes as in PEP 427), packaging.python.org.
"""

import base64
import csv
import hashlib
import io
import re
import zipfile
from pathlib import Path

_LOCAL = re.compile(rb"^(Requires-Dist:\s*[^@\n]*?)\s*@\s*file:[^\s;]+", re.MULTILINE)


def remove(wheel: Path) -> None:
    """Write the wheel again without URLs of local files among its requirements, if there are any.

    Raises the errors of zipfile for a file that is not a zip.
    """
    with zipfile.ZipFile(wheel) as archive:
        entries = [(entry, archive.read(entry)) for entry in archive.infolist()]
    changed = {
        entry.filename: without
        for entry, data in entries
        if entry.filename.endswith(".dist-info/METADATA") and (without := _without(data)) != data
    }
    if not changed:
        return
    with zipfile.ZipFile(wheel, "w") as archive:
        for entry, data in entries:
            if entry.filename.endswith(".dist-info/RECORD"):
                data = _recorded(data, changed)
            archive.writestr(entry, changed.get(entry.filename, data))


def _without(metadata: bytes) -> bytes:
    headers, blank, text = metadata.partition(b"\n\n")
    return _LOCAL.sub(rb"\1", headers) + blank + text


def _recorded(record: bytes, changed: dict[str, bytes]) -> bytes:
    """The RECORD with the hashes and sizes of changed files."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    for row in csv.reader(io.StringIO(record.decode("utf-8"))):
        if row and (data := changed.get(row[0])) is not None:
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode("ascii")
            row = [row[0], f"sha256={digest}", str(len(data))]
        lines.writerow(row)
    return out.getvalue().encode("utf-8")

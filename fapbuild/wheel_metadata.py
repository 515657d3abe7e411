"""What a wheel says of itself: `*.dist-info/METADATA` (Core metadata specification, packaging.python.org)."""

import zipfile
from email.message import Message
from email.parser import HeaderParser

from artifact_store.errors import FapError
from fapbuild.wheels import Vendored


def read(wheel: Vendored) -> Message:
    """The wheel's headers; empty if it has none. Raises FapError if the file is no wheel."""
    try:
        with zipfile.ZipFile(wheel.path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            data = archive.read(min(names, key=len)) if names else b""
    except zipfile.BadZipFile as error:
        raise FapError(f"{wheel.file} is no wheel: {error}", hint="fapbuild lock") from error
    return HeaderParser().parsestr(data.decode("utf-8", "replace"))  # from bytes, names in UTF-8 are no str

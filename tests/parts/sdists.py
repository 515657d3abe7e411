"""Source distributions made here: their build needs nothing of an index."""

import io
import tarfile
from pathlib import Path

BACKEND = '''\
"""A build backend that needs nothing, counts how often it built, and gives other bytes each time."""

import os
import pathlib
import zipfile


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = pathlib.Path(folder) / "homemade-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: homemade\\nVersion: 1.0\\n")
    return info.name


def build_wheel(folder, config_settings=None, metadata_directory=None):
    log = pathlib.Path(__file__).with_name("log").read_text()
    with open(log, "a") as file:
        file.write("built\\n")
    name = "homemade-1.0-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as archive:
        archive.writestr("homemade.py", "")
        archive.writestr("homemade-build.txt", os.urandom(8))
        archive.writestr("homemade-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: homemade\\nVersion: 1.0\\n")
        archive.writestr("homemade-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr("homemade-1.0.dist-info/RECORD", "")
    return name
'''  # noqa: E501


def make_sdist(folder: Path, log: Path, name: str = "homemade") -> Path:
    """The sdist of `homemade` 1.0, maybe under another name; its build adds a line to the file `log`."""
    files = {
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        "backend.py": BACKEND,
        "log": str(log),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    path = folder / f"{name}-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for inside, text in files.items():
            info = tarfile.TarInfo(f"{name}-1.0/{inside}")
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return path

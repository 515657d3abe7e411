"""The files of a package that builds without an index."""

BACKEND = """\
import pathlib
import zipfile

NAME = {name!r}
INFO = f"{{NAME}}-{version}.dist-info"
METADATA = f"Metadata-Version: 2.1\\nName: {{NAME}}\\nVersion: {version}\\nRequires-Dist: left-pad\\n"


def prepare_metadata_for_build_wheel(folder, config_settings=None):
    (pathlib.Path(folder) / INFO).mkdir()
    (pathlib.Path(folder) / INFO / "METADATA").write_text(METADATA)
    return INFO


def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = f"{{NAME}}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder) / name, "w") as archive:
        archive.writestr(f"{{NAME}}.py", pathlib.Path("value.txt").read_text())
        archive.writestr(INFO + "/METADATA", METADATA)
        archive.writestr(INFO + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(INFO + "/RECORD", "")
    return name
"""


def package(name: str, version: str = "1.0", value: str = "one") -> dict[str, str]:
    """The files of a package that builds without an index, and needs `left-pad`."""
    return {
        "pyproject.toml": (
            f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = ["left-pad"]\n'
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        ),
        "backend.py": BACKEND.format(name=name, version=version),
        "value.txt": value,
    }


def below(folder: str, files: dict[str, str]) -> dict[str, str]:
    return {f"{folder}/{name}": text for name, text in files.items()}

"""Imports the plugins beside deploy.yml: from the bytes that are trusted, and nothing else from there."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from faprelease.config.checkout import Trusted
from faprelease.config.plugin_names import is_beside


def allow(trusted: Trusted, folder: Path, module: str) -> bool:
    """Allow imports of the trusted modules in `folder`; they replace no installed module. Return whether
    `module` is one of them."""
    if trusted.files is None:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
        return True
    finder = _Finder(folder, trusted.files)
    sys.meta_path[:] = [finder, *(each for each in sys.meta_path if each != finder)]
    return finder.has(module)


class _Loader(SourceFileLoader):
    """Loads a module from its source in memory; never from bytecode, which nobody has read."""

    def __init__(self, name: str, path: str, source: bytes) -> None:
        super().__init__(name, path)
        self._source = source

    def path_stats(self, path: str) -> Mapping[str, float]:
        raise OSError  # documented: then bytecode is neither read nor written

    def get_data(self, path: str) -> bytes:
        return self._source if path == self.path else super().get_data(path)


class _Finder(MetaPathFinder):
    """Finds the modules of one folder among `files`, which are the contents by path."""

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        self._folder = folder
        modules = {name: data for name, data in files.items() if name.endswith(".py")}
        self._sources = {name.removesuffix(".py"): data for name, data in modules.items()}
        tops = {name.partition("/")[0] for name in self._sources}
        self._tops = {top for top in tops if top.isidentifier() and is_beside(top, folder)}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Finder) and other._folder == self._folder

    def __hash__(self) -> int:
        return hash(self._folder)

    def has(self, module: str) -> bool:
        """Whether the module, or the package that contains it, is among the files."""
        return module.partition(".")[0] in self._tops

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in self._tops:
            return None
        place = fullname.replace(".", "/")
        for name, folders in ((f"{place}/__init__", [f"{self._folder}/{place}"]), (place, None)):
            if name in self._sources:
                file = f"{self._folder}/{name}.py"
                loader = _Loader(fullname, file, self._sources[name])
                return spec_from_file_location(
                    fullname, file, loader=loader, submodule_search_locations=folders
                )
        if any(name.startswith(f"{place}/") for name in self._sources):
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [f"{self._folder}/{place}"]
            return spec
        raise ModuleNotFoundError(
            f"{fullname} in {os.path.relpath(self._folder)} was not there when the checkout was trusted",
            name=fullname,
        )

"""The paths that deploy.yml has written or linked into a release. Pure.

A link that lies below another link leads out of the release, and to replace it would remove what is there.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from posixpath import normpath
from typing import Any, NamedTuple

_OWN = (".fap", "install.sh", "requirements.lock", "venv", "venv.tmp", "wheels")
"""What a release has from its artifact and its installer (docs/design.md, "The artifact")."""


class _Entry(NamedTuple):
    key: str
    name: str

    @property
    def path(self) -> str:
        return normpath(self.name)


def conflicts(values: Mapping[str, Any], environment_file: str) -> Iterator[tuple[str, str, str]]:
    """Yield each conflict between the paths in a release, as a key, message and hint.

    `environment_file` is its path in the release. It counts only if `environment` has values: without them,
    the file may be linked, or come from the artifact.
    """
    linked = [_Entry(key, name) for key in ("linked_files", "linked_dirs") for name in values.get(key) or ()]
    written = [_Entry("environment_file", environment_file)] if values.get("environment") else []
    assets = [_Entry("assets_dirs", name) for name in values.get("assets_dirs") or ()]
    for entry in linked:
        if own := next((own for own in _OWN if _is_below(entry.path, own)), None):
            yield (
                entry.key,
                f"{entry.name!r} can't be linked: {own} belongs to the release itself",
                "move it to another path, and have the app read it there",
            )
    for one, other in combinations(linked, 2):
        if one.path == other.path and one.key == other.key:
            continue
        if one.path == other.path:
            yield other.key, f"{one.path} is linked twice", "list it once"
        else:
            for outer, inner in ((one, other), (other, one)):
                if _is_below(inner.path, outer.path):
                    yield _nested(
                        inner,
                        outer,
                        f"remove {inner.name} from {inner.key}: shared/{outer.path}/ is"
                        " linked as a whole, with all that is in it",
                    )
    for outer in linked:
        for inner in written:
            if inner.path == outer.path:
                message = f"{inner.path} is in {outer.key}, and environment would overwrite it"
                yield (
                    "environment",
                    message,
                    f"put all variables into shared/{inner.path}, or all into deploy.yml",
                )
            elif _is_below(inner.path, outer.path):
                yield _nested(
                    inner,
                    outer,
                    "set environment_file to a path outside it, such as .env: all releases"
                    " share a linked folder, so a failed release would change the variables of the live one",
                )
            elif _is_below(outer.path, inner.path):
                yield _nested(outer, inner, "set environment_file to another path")
        for folder in assets:
            if _is_below(folder.path, outer.path):
                yield (
                    "assets_dirs",
                    f"{folder.name} (assets_dirs) lies in {outer.name} ({outer.key})",
                    f"remove {folder.name} from assets_dirs: all releases share what is linked",
                )


def _nested(inner: _Entry, outer: _Entry, hint: str) -> tuple[str, str, str]:
    return inner.key, f"{inner.name} ({inner.key}) lies in {outer.name} ({outer.key})", hint


def _is_below(path: str, folder: str) -> bool:
    """Whether the path is that folder or lies in it; both are normal relative paths."""
    return path == folder or path.startswith(f"{folder}/")

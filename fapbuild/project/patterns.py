"""Patterns as in .gitignore."""

from collections.abc import Callable, Iterable


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that says whether any pattern matches a path; paths of folders end with a slash."""
    lines = tuple(patterns)
    if not lines:
        return lambda _: False
    import pathspec  # loads slowly, and most projects have no pattern

    return pathspec.GitIgnoreSpec.from_lines(lines).match_file

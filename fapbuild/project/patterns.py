"""Patterns as in .gitignore."""

from collections.abc import Callable, Iterable


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether a path, with a slash at its end if it is a folder, is what one of the patterns means."""
    lines = tuple(patterns)
    if not lines:
        return lambda _: False
    import pathspec  # loads slowly, and most projects have no pattern

    return pathspec.GitIgnoreSpec.from_lines(lines).match_file

"""Reads YAML in a time that depends on the length of the text alone.

A few lines of nested aliases (`&b [*a, *a, …]`) can stand for a billion values. So the text is counted before
anything is made of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faprelease.errors import ConfigError

MOST_BYTES = 2_000_000
MOST_VALUES = 30_000
"""The most keys and values of a file, with each alias counted as what it stands for."""
DEEPEST = 100
"""The deepest nesting, counted in the same way."""
_LONGEST_NUMBER = 100
"""The most characters of a number or a date: YAML reads numbers like `1:30:00`, at a quadratic cost."""


class Document:
    """One YAML document.

    Raises ConfigError if the text is not YAML (with line and column), or is too large, too deep, or stands
    for too many values. `name` is the file's.
    """

    def __init__(self, text: str, name: str) -> None:
        import yaml

        self._name = name
        with self._errors():
            _check(text, name, yaml)
            self._loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)  # ten times as fast
            self.node = self._loader.get_single_node()
            """Its top node; None if the document is empty."""

    def value(self) -> Any:
        """Return its value. This changes the node: merged keys become its own. Raises ConfigError for an
        impossible value."""
        with self._errors():
            return self._loader.construct_document(self.node) if self.node else None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import yaml

        try:
            yield
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
            raise ConfigError(
                f"{self._name}{at}: {error.problem or 'not YAML'}",
                hint="check the indentation and the quotes there",
            ) from error
        except (yaml.YAMLError, ValueError, ArithmeticError) as error:  # an impossible date or number
            hint = f"{Path(self._name).name} must be valid YAML"
            raise ConfigError(f"{self._name}: {error}", hint=hint) from error


def _check(text: str, name: str, yaml: Any) -> None:
    """Raise ConfigError for a text that stands for too much, in one pass over the parser's events."""
    refuse_large(text, name)
    named: dict[str, tuple[int, int]] = {}
    within = [_Counted("")]
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            within.append(_Counted(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = within.pop()
            if done.anchor:
                named[done.anchor] = (done.values, done.depth)
            within[-1].add(done.values, done.depth)
        elif isinstance(event, yaml.AliasEvent):
            within[-1].add(*named.get(event.anchor, (1, 0)))
        elif isinstance(event, yaml.ScalarEvent):
            within[-1].add(1, 0)
            if event.anchor:
                named[event.anchor] = (1, 0)
            if event.implicit[0] and len(event.value) > _LONGEST_NUMBER and _may_be_a_number(event.value):
                raise ConfigError(
                    f"{name}, line {event.start_mark.line + 1}: a number of {len(event.value)} characters",
                    hint="put quotes around it",
                )
        else:
            continue
        if within[-1].values > MOST_VALUES or len(within) + within[-1].depth > DEEPEST:
            many = within[-1].values > MOST_VALUES
            raise ConfigError(
                f"{name}, line {event.start_mark.line + 1}: "
                + (f"more than {MOST_VALUES} values" if many else f"nested deeper than {DEEPEST} levels")
                + ", with aliases (*name) counted as what they stand for",
                hint="remove the aliases there, or the nesting",
            )


def refuse_large(text: str, name: str) -> None:
    """Raise ConfigError for a file of more than MOST_BYTES."""
    if len(text) > MOST_BYTES:
        raise ConfigError(
            f"{name} has more than {MOST_BYTES // 1_000_000} million characters",
            hint="name the right file: -f FILE",
        )


def _may_be_a_number(text: str) -> bool:
    return text[0] in "+-.0123456789"


class _Counted:
    """How many values a collection stands for, and how deep it is."""

    def __init__(self, anchor: str | None) -> None:
        self.anchor, self.values, self.depth = anchor, 1, 1

    def add(self, values: int, depth: int) -> None:
        self.values += values
        self.depth = max(self.depth, depth + 1)

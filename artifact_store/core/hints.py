"""Hints: what to type next, with blanks that are filled in where the stage, role and store are known."""

from collections.abc import Iterable
from string import Formatter
from typing import Final

_WORDS: Final[dict[str, str]] = {"stage": "STAGE", "place": "STAGE ROLE", "fapstore": "fapstore"}
"""The text of each blank until it is filled."""


class Hint(str):
    """Text for people. `Hint("fapstore list {stage}")` has a blank; `filled(stage="production")` fills it.

    `{stage}` is a stage, `{place}` a stage and maybe a role, `{fapstore}` the command with its store. Other
    fields get their value at once, and no text that came in as a value is ever taken for a blank.
    """

    _pieces: tuple[tuple[str, str], ...]
    """The parts of the text: the name of a blank (empty for plain text), and its present text."""

    def __new__(cls, template: str, **values: str) -> "Hint":
        """Raises KeyError for a field that is neither a blank nor in `values`."""
        pieces: list[tuple[str, str]] = []
        for text, field, _, _ in Formatter().parse(template):
            pieces.append(("", text))
            if field in values:
                pieces.append(("", values[field]))
            elif field is not None:
                pieces.append((field, _WORDS[field]))
        return cls._of(pieces)

    @classmethod
    def _of(cls, pieces: Iterable[tuple[str, str]]) -> "Hint":
        parts = tuple(pieces)
        hint = str.__new__(cls, "".join(text for _, text in parts))
        hint._pieces = parts
        return hint

    @classmethod
    def plain(cls, text: str) -> "Hint":
        """Text without blanks, whatever it contains."""
        return text if isinstance(text, Hint) else cls._of([("", text)])

    @classmethod
    def lines(cls, hints: Iterable[str]) -> "Hint":
        """One line for each hint that is not empty, without repeats; blanks stay blanks."""
        pieces: list[tuple[str, str]] = []
        for hint in dict.fromkeys(filter(None, hints)):
            pieces += [("", "\n")] if pieces else []
            pieces += cls.plain(hint)._pieces
        return cls._of(pieces)

    def filled(self, **words: str) -> "Hint":
        """The hint with these words in its blanks, by name; blanks without a word stay."""
        return self._of(("", words[name]) if name in words else (name, text) for name, text in self._pieces)

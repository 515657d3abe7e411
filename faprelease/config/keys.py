"""A key of deploy.yml: its kind, its default, its description, and whether its value may be shown."""

import re
from dataclasses import dataclass
from functools import cached_property
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from artifact_store.core.urls import redact_url
from faprelease.errors import ConfigError

Shown = Literal["yes", "no", "address"]


def about(text: str, *, shown: Shown = "yes") -> msgspec.Meta:
    """The description of a key, as `Annotated[str, about("…")]`. `config --keys` and editors show it.

    A secret is never `shown` ("no"), or, if it is a URL, without its secret parts ("address").
    """
    return msgspec.Meta(description=text, extra={"shown": shown})


class WrongValueError(ConfigError):
    """A wrong value for a key. `at` is the path to the entry or item; the message has no file and line
    yet."""

    def __init__(self, message: str, *, hint: str, at: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.at = at


@dataclass(frozen=True)
class Key:
    """One key; `kind` is a type that msgspec can convert to."""

    name: str
    kind: Any
    default: Any
    about: str = ""
    shown: Shown = "yes"
    owner: str = ""
    """The plugin that adds it; empty for the core."""

    @cached_property
    def is_switch(self) -> bool:
        """Whether its flag needs no value: `--x`, `--no-x`."""
        return _kinds(self.kind) == {bool}

    @cached_property
    def is_list(self) -> bool:
        """Whether it is a list. A single value is a list of one; its flag takes values separated by
        commas."""
        return list in _kinds(self.kind)

    @cached_property
    def is_mapping(self) -> bool:
        return dict in _kinds(self.kind)

    def read(self, value: Any) -> Any:
        """Convert a value to the key's kind. Raises WrongValueError."""
        if self.is_list and isinstance(value, str | int | float):
            value = [value]
        if self.is_mapping and isinstance(value, dict):
            return {
                str(name): self._convert({str(name): item}, str(name))[str(name)]
                for name, item in value.items()
            }
        return self._convert(value)

    def _convert(self, value: Any, *at: str) -> Any:
        try:
            return msgspec.convert(value, self.kind, strict=False)
        except msgspec.ValidationError as error:
            item = re.search(r"`\$\[(\d+)\]", str(error))
            at = at or ((item[1],) if item else ())
            raise WrongValueError(
                f"{'.'.join((self.name, *at))}: {self._complaint(value, str(error))}",
                hint=f"{self.name}: {self.about}" if self.about else f"{self.name} must be {self.expected}",
                at=at,
            ) from None

    def _complaint(self, value: Any, error: str) -> str:
        if isinstance(value, str | int | float) and self.shown == "yes":
            return f"{value!r} is not {self.expected}"
        reason, _, where = error.partition(" - at ")
        return reason if where or self.shown != "yes" else f"{reason}; it must be {self.expected}"

    @property
    def expected(self) -> str:
        """The kind of its values, for people."""
        kinds = _kinds(self.kind)
        if choices := [choice for kind in kinds if isinstance(kind, tuple) for choice in kind]:
            return f"one of: {', '.join(map(str, choices))}"
        return next((words for kind, words in _WORDS.items() if kind in kinds), "another kind of value")

    def redacted(self, value: Any) -> Any:
        """The value without secrets."""
        if self.shown == "yes" or not value:
            return value
        if self.shown == "address":
            return redact_url(value) + ("?…" if "?" in value else "")
        return dict.fromkeys(value, "***") if isinstance(value, dict) else "***"


_WORDS = {
    list: "a list: [a, b]",
    dict: "a mapping: {NAME: value}",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a string",
}


def of(struct: type[msgspec.Struct], owner: str = "") -> dict[str, Key]:
    """The keys that the fields of a struct define, by name, in their order."""
    result = {}
    for field in msgspec.structs.fields(struct):
        has_factory = field.default_factory is not msgspec.NODEFAULT
        default = field.default_factory() if has_factory else field.default
        text, shown = _notes(field.type)
        result[field.name] = Key(field.name, field.type, default, text, shown, owner)
    return result


def _notes(kind: Any) -> tuple[str, Shown]:
    for note in get_args(kind)[1:] if get_origin(kind) is Annotated else ():
        if isinstance(note, msgspec.Meta):
            return note.description or "", (note.extra or {}).get("shown", "yes")
    return "", "yes"


def _kinds(kind: Any) -> set[Any]:
    """The plain types in an annotation: {list} for `list[str] | None`; a tuple of its values for a
    Literal."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _kinds(get_args(kind)[0])
    if origin in (Union, UnionType):
        return {plain for part in get_args(kind) for plain in _kinds(part)}
    if origin is Literal:
        return {get_args(kind)}
    return {origin or kind} - {NoneType}

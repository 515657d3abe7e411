"""What a key of deploy.yml is: its kind, its default, what it is for, and whether its value may be shown."""

import re
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from artifact_store.core.urls import redact_url
from faprelease.errors import ConfigError

Shown = Literal["yes", "no", "address"]


def about(text: str, *, shown: Shown = "yes") -> msgspec.Meta:
    """What a key is for, as `Annotated[str, about("…")]`, in the words of `config --keys` and of editors.

    A secret is `shown` never ("no"), or, if it is a URL, without what may open it ("address").
    """
    return msgspec.Meta(description=text, extra={"shown": shown})


class WrongValueError(ConfigError):
    """A value that its key can't have; `at` names the entry or item of it, and its place is not told yet."""

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
    """The strategy or plugin that brings it, empty for the core."""

    @property
    def is_switch(self) -> bool:
        """Its flag needs no value: `--x`, `--no-x`."""
        return _kinds(self.kind) == {bool}

    @property
    def is_list(self) -> bool:
        """A single value stands for a list of one; its flag takes several, with commas between them."""
        return list in _kinds(self.kind)

    @property
    def is_mapping(self) -> bool:
        return dict in _kinds(self.kind)

    def read(self, value: Any) -> Any:
        """The value as what the key's kind says; raises WrongValueError."""
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
        said, _, where = error.partition(" - at ")
        return said if where or self.shown != "yes" else f"{said}; it must be {self.expected}"

    @property
    def expected(self) -> str:
        """What a value must be, for people."""
        kinds = _kinds(self.kind)
        if choices := [choice for kind in kinds if isinstance(kind, tuple) for choice in kind]:
            return f"one of: {', '.join(map(str, choices))}"
        return next((words for kind, words in _WORDS.items() if kind in kinds), "another kind of value")

    def redacted(self, value: Any) -> Any:
        """The value as anyone may see it."""
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
    """The keys that the fields of a struct stand for, by name, in their order."""
    found = {}
    for field in msgspec.structs.fields(struct):
        made = field.default_factory is not msgspec.NODEFAULT
        default = field.default_factory() if made else field.default
        text, shown = _notes(field.type)
        found[field.name] = Key(field.name, field.type, default, text, shown, owner)
    return found


def _notes(kind: Any) -> tuple[str, Shown]:
    for note in get_args(kind)[1:] if get_origin(kind) is Annotated else ():
        if isinstance(note, msgspec.Meta):
            return note.description or "", (note.extra or {}).get("shown", "yes")
    return "", "yes"


def _kinds(kind: Any) -> set[Any]:
    """`list[str] | None` is {list}; a Literal is the tuple of its values."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _kinds(get_args(kind)[0])
    if origin in (Union, UnionType):
        return {found for each in get_args(kind) for found in _kinds(each)}
    if origin is Literal:
        return {get_args(kind)}
    return {origin or kind} - {NoneType}

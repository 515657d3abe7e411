"""A parser of the declarative part of a Capistrano file: a list of statements, with literal values.

It does not parse Ruby: anything else is reported as code, for people to migrate.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_OPENS, _CLOSES = "([{", ")]}"
_BLOCK = re.compile(
    r"^(namespace|task|if|unless|case|while|until|def|class|module|begin|for)\b|\bdo\b(\s*\|[^|]*\|)?$"
)
_END = re.compile(r"^end\b|\bend$")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<words>%[wWiI]\s*(?:\[[^\]]*\]|\{[^}]*\}|\([^)]*\)|<[^>]*>))
      | (?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<key>[A-Za-z_]\w*:(?!:))
      | (?P<symbol>:[A-Za-z_]\w*[?!]?|:"[^"]*")
      | (?P<number>-?\d[\d_]*(?:\.\d+)?)
      | (?P<name>[A-Za-z_][\w.]*[?!]?)
      | (?P<mark>=>|\.\w+|[\[\](){},+])
    )""",
    re.VERBOSE,
)


class CodeError(ValueError):
    """A value that is not a literal."""


@dataclass(frozen=True)
class Statement:
    """A statement, its line (from 1), and whether it opens a block. The contents of the block are left
    out."""

    line: int
    text: str
    block: bool


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements at the top level. A block (`namespace … do … end`) is one statement: its first
    line."""
    depth = 0
    for line, statement in _logical_lines(text):
        opened = bool(_BLOCK.search(statement))
        if depth:
            depth += opened - bool(_END.search(statement))
        elif opened:
            depth = 1 - bool(_END.search(statement))
            yield Statement(line, statement, True)
        else:
            yield Statement(line, statement, False)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield statements without comments. A statement continues inside a bracket, or after a comma or
    operator."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line == "__END__":
            break
        bare = _without_comment(line).strip()
        if not bare:
            continue
        first = first or number
        parts.append(bare)
        whole = " ".join(parts)
        if _open_brackets(whole) <= 0 and not whole.endswith((",", "+", "\\", "=>", "&&", "||", ".")):
            yield first, whole
            parts, first = [], 0
    if parts:
        yield first, " ".join(parts)


def _without_comment(line: str) -> str:
    for at, outside in _outside_strings(line):
        if outside and line[at] == "#":
            return line[:at]
    return line


def _open_brackets(text: str) -> int:
    return sum(
        (text[at] in _OPENS) - (text[at] in _CLOSES) for at, outside in _outside_strings(text) if outside
    )


def _outside_strings(text: str) -> Iterator[tuple[int, bool]]:
    quote = ""
    at = 0
    while at < len(text):
        character = text[at]
        if quote and character == "\\":
            yield at, False
            at += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"`":
            quote = character
        if at < len(text):
            yield at, not quote
        at += 1


def values(text: str, fetch: Callable[[str], Any]) -> tuple[list[Any], dict[str, Any]]:
    """Parse the arguments of a call: positional and named ones. `fetch` returns the value of a setting.

    Raises CodeError.
    """
    reader = _Reader(_tokens(text), fetch)
    listed, named = reader.arguments(())
    reader.end()
    return listed, named


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            raise CodeError(text[at:])
        tokens.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return tokens


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]], fetch: Callable[[str], Any]) -> None:
        self._tokens, self._fetch = [*tokens, ("end", "")], fetch
        self._at = 0

    def end(self) -> None:
        if self._tokens[self._at][0] != "end":
            raise CodeError(self._tokens[self._at][1])

    def arguments(self, closing: tuple[str, ...]) -> tuple[list[Any], dict[str, Any]]:
        """Parse `a, b, key: c, :key => d`, up to one of `closing` or the end."""
        listed: list[Any] = []
        named: dict[str, Any] = {}
        while self._tokens[self._at][0] != "end" and self._tokens[self._at][1] not in closing:
            kind, text = self._tokens[self._at]
            if kind == "key":
                self._at += 1
                named[text[:-1]] = self.value()
            else:
                value = self.value()
                if self._take("=>"):
                    named[str(value)] = self.value()
                else:
                    listed.append(value)
            if not self._take(","):
                break
        return listed, named

    def value(self) -> Any:
        value = self._plain()
        while True:
            if self._take(".push") or self._take(".concat") or self._take("+"):
                more = self._plain()
                value = [*as_list(value), *as_list(more)]
            elif self._take(".freeze") or self._take(".to_s") or self._take(".to_sym"):
                continue
            else:
                return value

    def _plain(self) -> Any:
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "string":
            return self._string(text)
        if kind == "symbol":
            return text[1:].strip('"')
        if kind == "words":
            return text[2:].strip()[1:-1].split()
        if kind == "number":
            return float(text) if "." in text else int(text.replace("_", ""))
        if text in ("true", "false", "nil"):
            return {"true": True, "false": False, "nil": None}[text]
        if text in ("fetch", "fetch."):
            self._expect("(")
            listed, _ = self.arguments((")",))
            self._expect(")")
            return self._fetched(*listed)
        if text in ("[", "("):
            closing = {"[": "]", "(": ")"}[text]
            listed, named = self.arguments((closing,))
            self._expect(closing)
            return [*listed, named] if named else listed
        if text == "{":
            _, named = self.arguments(("}",))
            self._expect("}")
            return named
        raise CodeError(text)

    def _fetched(self, name: str, default: Any = None) -> Any:
        value = self._fetch(name)
        return default if value is None else value

    def _string(self, text: str) -> str:
        inner = text[1:-1]
        if text[0] == "'":
            return inner.replace("\\'", "'").replace("\\\\", "\\")
        return re.sub(r"#\{([^}]*)\}", self._interpolated, inner).replace('\\"', '"')

    def _interpolated(self, match: re.Match[str]) -> str:
        name = re.fullmatch(r"\s*fetch\(?\s*:(\w+)\s*\)?\s*", match[1])
        value = self._fetch(name[1]) if name else None
        if not isinstance(value, str | int):
            raise CodeError(match[0])
        return str(value)

    def _take(self, text: str) -> bool:
        if self._tokens[self._at][1] != text:
            return False
        self._at += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            raise CodeError(self._tokens[self._at][1] or text)


def as_list(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        raise CodeError("a hash in a list")
    return list(value) if isinstance(value, list) else [value]

"""Which variables a POSIX sh script uses and sets, and which functions it defines and calls.

It knows as much of the grammar as the scripts in `faprelease/host/` use: quotes, expansions, comments and
here-documents. Text in quotes becomes NULs, so that what remains can be searched by patterns.
"""

import re
from dataclasses import dataclass

_QUOTED = "\0"
_HERE = re.compile(r"<<(['\"]?)([A-Za-z.]+)\1")
_WORD = re.compile(r"[A-Za-z_]\w*")
_USE = re.compile(r"\$\{?([A-Za-z_]\w*)")
_ASSIGN = re.compile(r"(?<![\w${\0.-])([A-Za-z_]\w*)=")
_READ = re.compile(r"\bread -r((?: [A-Za-z_]\w*)+)")
_FOR = re.compile(r"\bfor ([A-Za-z_]\w*)")
_FUNCTION = re.compile(r"^(\w+)\(\) (?:[{(]\n(?:.*\n)*?[})]|[{(].*[})]$)", re.MULTILINE)


@dataclass(frozen=True)
class Names:
    """What a script has to do with: names of variables but for `called`, all words outside quotes, and
    `defines`, its functions."""

    used: frozenset[str]
    unset: frozenset[str]
    """Used where nothing above has set it; in a function: where nothing sets it at all."""
    sets: frozenset[str]
    defines: frozenset[str]
    called: frozenset[str]


def names_in(text: str) -> Names:
    bare = _Bare(text).text()
    uses = [(use[1], use.start()) for use in _USE.finditer(bare)]
    first = dict(sorted(_sets(bare), key=lambda each: -each[1]))
    functions = list(_FUNCTION.finditer(bare))
    unset = set()
    for name, place in uses:
        is_inside = any(each.start() < place < each.end() for each in functions)
        if name not in first or (not is_inside and first[name] > place):
            unset.add(name)
    return Names(
        used=frozenset(name for name, _ in uses),
        unset=frozenset(unset),
        sets=frozenset(first),
        defines=frozenset(each[1] for each in functions),
        called=frozenset(_WORD.findall(re.sub(r"\$\{?\w+", "", bare))),
    )


def _sets(bare: str) -> list[tuple[str, int]]:
    """Each variable, with the place from where on it is set."""
    found = [(each[1], _end_of_word(bare, each.end())) for each in _ASSIGN.finditer(bare)]
    found += [(name, each.start()) for each in _READ.finditer(bare) for name in each[1].split()]
    return found + [(each[1], each.start()) for each in _FOR.finditer(bare)]


def _end_of_word(bare: str, place: int) -> int:
    depth = 0
    while place < len(bare):
        char = bare[place]
        depth += (char in "({") - (char in ")}")
        if depth < 0 or (depth == 0 and char in " ;\n"):
            break
        place += 1
    return place


class _Bare:
    """A script without what is quoted. `stack` says what we are in: a command (`(`), double quotes, the
    braces of an expansion, or arithmetic (`+`)."""

    def __init__(self, script: str) -> None:
        self.script, self.place = script, 0
        self.stack, self.out = ["("], [""]
        self.here: list[tuple[str, bool]] = []

    def text(self) -> str:
        while self.place < len(self.script):
            self._step()
        return "".join(self.out)

    def _step(self) -> None:
        rest, inside = self.script[self.place :], self.stack[-1]
        char = rest[0]
        if char == "\\":
            self._hide(2)
        elif rest.startswith("$(("):
            self.stack.append("+")
            self._hide(3)
        elif inside == "+" and rest.startswith("))"):
            self.stack.pop()
            self._hide(2)
        elif rest.startswith(("$(", "${")):
            self.stack.append(rest[1])
            self._take(2, rest[:2])
        elif char == '"':
            if inside == '"':
                self.stack.pop()
            else:
                self.stack.append('"')
            self._hide(1)
        elif inside == '"':
            self._take_or_hide(rest)
        elif char == "'":
            self._hide(rest.index("'", 1) + 1)
        elif inside == "{" and char == "}":
            self.stack.pop()
            self._take(1, char)
        elif inside == "(":
            self._command(rest)
        elif inside == "+" and (word := _WORD.match(rest)):
            self._take(word.end(), f"${word[0]}")
        else:
            self._take(1, char)

    def _command(self, rest: str) -> None:
        char, is_nested = rest[0], len(self.stack) > 1
        if char == "#" and self.out[-1][-1:] in ("", " ", "\n"):
            self._hide(len(rest.partition("\n")[0]))
        elif here := _HERE.match(rest):
            self.here.append((here[2], bool(here[1])))
            self._hide(here.end())
        elif char == "\n" and self.here:
            self._documents()
        else:
            if is_nested and char == "(":
                self.stack.append("(")
            elif is_nested and char == ")":
                self.stack.pop()
            self._take(1, char)

    def _take_or_hide(self, rest: str) -> None:
        use = re.match(r"\$\w+", rest)
        if use:
            self._take(use.end(), use[0])
        else:
            self._hide(1)

    def _documents(self) -> None:
        for end, is_quoted in self.here:
            body, _, _ = self.script[self.place :].partition(f"\n{end}\n")
            uses = [] if is_quoted else re.findall(r"\$\{?\w+", body)
            self._take(len(body) + len(end) + 2, "\n" + " ".join(uses) + "\n")
        self.here = []

    def _take(self, length: int, text: str) -> None:
        self.place += length
        self.out.append(text)

    def _hide(self, length: int) -> None:
        self._take(length, _QUOTED * length)

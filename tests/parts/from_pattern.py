"""A text that a regular expression matches, made by chance."""

import random
import re
from re import _constants as kind  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any


def text_for(pattern: str, seed: str) -> str:
    """A text for the pattern, the same for each seed. Of what may repeat without end there are few."""
    text = _made(parser.parse(pattern), random.Random(seed))
    assert re.search(pattern, text), (pattern, text)
    return text


def _made(parts: Any, chance: random.Random) -> str:
    return "".join(_one(code, argument, chance) for code, argument in parts)


def _one(code: Any, argument: Any, chance: random.Random) -> str:
    if code is kind.LITERAL:
        return chr(argument)
    if code is kind.IN:
        return _member(argument, chance)
    if code is kind.NOT_LITERAL:
        return _other({argument}, chance)
    if code is kind.BRANCH:
        return _made(chance.choice(argument[1]), chance)
    if code is kind.SUBPATTERN:
        return _made(argument[-1], chance)
    if code in (kind.MAX_REPEAT, kind.MIN_REPEAT):
        least, most, part = argument
        return "".join(_made(part, chance) for _ in range(chance.randint(least, min(most, least + 3))))
    assert code in (kind.ASSERT, kind.ASSERT_NOT, kind.AT), code
    return ""


def _member(options: Any, chance: random.Random) -> str:
    if options[0][0] is kind.NEGATE:
        return _other({argument for code, argument in options if code is kind.LITERAL}, chance)
    letters = []
    for code, argument in options:
        if code is kind.RANGE:
            letters += [chr(number) for number in range(argument[0], argument[1] + 1)]
        else:
            letters.append(chr(argument) if code is kind.LITERAL else " ")
    return chance.choice(letters)


def _other(without: set[int], chance: random.Random) -> str:
    return chance.choice(
        [letter for letter in "abcdefghijkmnpqrstuvwxyz23456789" if ord(letter) not in without]
    )

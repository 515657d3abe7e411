"""Judge signatures by a file of allowed signers, as ssh-keygen does, and without it for a key it accepted.

ssh-keygen reads the file, and decides who may sign what and when. Its answer for one signature counts for all
of the same key and namespace between two dates of the file: of these only the bytes are checked, in this
process. The format: ALLOWED SIGNERS in ssh-keygen(1).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass

from artifact_store.trust import sshsig

_DATE = re.compile(rb"(?<!\d)(?:\d{8}|\d{12}|\d{14})(?!\d)")
"""What may be a date in the file. More than the dates is no harm."""
_NO_TIME_BEFORE = "19700101000000"
"""ssh-keygen refuses an earlier time."""

_Era = tuple[int, int]


@dataclass(frozen=True)
class Verdict:
    """The name of the signer; or the problem, as ssh-keygen prints it."""

    name: str = ""
    problem: str = ""


class AllowedSigners:
    """The content of a file, and what ssh-keygen said about its keys."""

    def __init__(self, content: bytes, ask: Callable[[bytes, str, str, str], Verdict]) -> None:
        """`ask` lets ssh-keygen judge by a file with this content; its arguments are those of `judge`."""
        self._ask = ask
        dates = (date.decode().ljust(14, "0") for date in _DATE.findall(content))
        self._dates = sorted({*dates, _NO_TIME_BEFORE})
        self._names: dict[tuple[bytes, str, _Era], str] = {}
        self._refused: dict[tuple[bytes, _Era], str] = {}
        self._right: set[tuple[bytes, str]] = set()

    def judge(self, statement: bytes, signature: str, namespace: str, moment: str) -> Verdict:
        """Judge a signature of exactly these bytes at a moment (UTC, YYYYMMDDHHMMSS).

        Raises as `ask`.
        """
        made = sshsig.read(signature)
        if made is None or made.namespace != namespace.encode():
            return self._ask(statement, signature, namespace, moment)
        era = bisect_left(self._dates, moment), bisect_right(self._dates, moment)
        if problem := self._refused.get((made.key, era)):
            return Verdict(problem=problem)
        name = self._names.get((made.key, namespace, era))
        if name and ((statement, signature) in self._right or made.is_of(statement)):
            return Verdict(name)
        verdict = self._ask(statement, signature, namespace, moment)
        if verdict.name:
            self._names[made.key, namespace, era] = verdict.name
            self._right.add((statement, signature))
        elif "No principal matched" in verdict.problem:
            self._refused[made.key, era] = verdict.problem
        return verdict

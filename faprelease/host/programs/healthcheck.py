"""Check that the new release answers on the host's own port, some times in a row, within a time limit.

`main` gets the options below, each as NAME=VALUE, and curl's configuration as input:

- `release`, and `artifact`, the file that knows its version and commit
- `port`, `status` (of a good answer), `good` (answers in a row) and `seconds` (for all of them)
- `shows`: what the answer must contain: version, commit or release; may be empty
- `managed`: a process manager has checked that the release runs
- `manager` (may be empty): the module that looks at the services meanwhile; it gets all other options

It ends at once if one of these services ends.
"""

import json
import os
import subprocess
import sys
import time

import processes
import watch

CURL = "curl", "-q", "--config", "-"


class Check:
    """A request, and the judgement of its answer. Nothing but the release can answer at its own `socket`."""

    def __init__(self, config, release, artifact, status, shows, port="0", managed="", socket=""):
        self.config, self.port, self.status, self.managed = config, int(port), status, managed
        self.socket = socket
        self.folder = os.path.realpath(release)
        # The version of a release from another tool is not known.
        self.shows = shows if os.path.isfile(artifact) else ""
        self.word = os.path.basename(self.folder) if self.shows == "release" else ""
        if self.shows in ("version", "commit"):
            with open(artifact, encoding="utf-8") as file:
                self.word = json.load(file).get(self.shows, "")
            if not self.word:
                raise watch.EndedError(
                    f"{artifact} has no {shows}, so healthcheck_shows: {shows} can't be checked"
                )

    def ask(self, meanwhile):
        """(whether the answer is good, what it was). `meanwhile` is called again and again."""
        curl = subprocess.Popen(
            CURL,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            said, given = None, self.config.encode()
            while said is None:
                try:
                    said, _ = curl.communicate(given, watch.PAUSE)
                except subprocess.TimeoutExpired:
                    given = None
                    meanwhile()
        except BaseException:
            curl.kill()
            raise
        answer, _, code = said.decode(errors="replace").rstrip("\n").rpartition("\n")
        if curl.returncode:
            return False, f"no answer: {(answer or code).partition(chr(10))[0]}"
        if code != self.status:
            return False, f"status {code}, not {self.status}: {answer[:200]}"
        return self._judge(code, answer)

    def _judge(self, code, answer):
        if self.word:
            if self.word in answer:
                return True, f"status {code}, and the answer shows {self.shows} {self.word}"
            return False, f"the answer does not show {self.shows} {self.word}: {answer[:200]}"
        if self.socket:
            return True, f"status {code} at {self.socket}"
        verdict, text = processes.listening(self.port, self.folder)
        if verdict == processes.HERE:
            return True, f"status {code}, {text}"
        if verdict == processes.ELSEWHERE:
            return False, f"the old release still answers: {text}"
        if self.managed:
            return True, f"status {code}; the listening process can't be seen"
        return False, (
            f"status {code}, but it is not certain that the new release answers: {text};"
            " set healthcheck_shows: version"
        )


def until_good(checks, watched, good, seconds):
    """Ask again and again, until all `checks` had good answers `good` times in a row, a second apart; return
    the last ones. Raises watch.EndedError."""
    end, row = time.monotonic() + seconds, 0
    while True:
        answers = [check.ask(watched.again) for check in checks]
        watched.again()
        wrong = [text for is_good, text in answers if not is_good]
        row = 0 if wrong else row + 1
        if row >= good:
            return "\n".join(text for _, text in answers)
        if time.monotonic() >= end:
            text = wrong[0] if wrong else answers[-1][1]
            raise watch.EndedError(
                f"not {good} good answers in a row within {seconds} s; the last one:\n{text}"
            )
        after = time.monotonic() + (1 if row else watch.PAUSE)
        while time.monotonic() < after:
            watched.pause()
            watched.again()


def main(load, parts, *words):
    """Exit codes: 0; 1 if the release does not answer as it should, and the reason is printed."""
    options = dict(word.split("=", 1) for word in words)
    good, seconds, manager = (options.pop(name) for name in ("good", "seconds", "manager"))
    names = "artifact", "port", "status", "shows", "managed"
    own = {"release": options["release"], **{name: options.pop(name) for name in names}}
    try:
        look = load(manager).looker(**options) if manager else list
        print(until_good([Check(parts["input"], **own)], watch.Watch(look), int(good), int(seconds)))
    except watch.EndedError as error:
        print(error)
        sys.exit(1)
    sys.exit(0)

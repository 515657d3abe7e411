"""Whatever a file or a host says, the answer is an error with a message, never a traceback.

The inputs are valid ones with random damage; a failure names its seed.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from faprelease.config import deployfile
from faprelease.config import target as config
from faprelease.errors import FapError
from faprelease.hosts import state
from faprelease.plugins import registry
from faprelease.views import history, host_report
from faprelease.views import status as status_view
from tests.parts.repository import IN_FULL, ROOT

SEEDS = range(3000 if IN_FULL else 300)
ODD = [
    "",
    "\0",
    "\x1b[31m",
    "é",
    "[",
    "{",
    "}",
    ": ",
    "- ",
    "*a",
    "&a",
    "!!python/x",
    "%(x)s",
    "9" * 40,
    "-1",
]
ODD += [
    "null",
    "~",
    "true",
    "1e999",
    "'",
    '"',
    "\t",
    "# ",
    "<<: *a",
    "../..",
    "💥",
    "\u202e",
    "|",
    ">-",
    "? ",
    "0x10",
]
ARTIFACT = '{"digest":"' + "ab" * 32 + '","app":"shop","version":"1","commit":"' + "a" * 40 + '"}'
ROLLOUT = (
    '{"id":"261130-000000","verb":"release","release":"261130-000000","previous":"261129-000000",'
    '"by":"ada@ci","entry":3,"stage":"production","seen":3,"origin":"ab","hosts":[["web1","web"]]}'
)
PROBE = f"""\
key {"5e" * 32}
rollout {ROLLOUT}
rollout {{"id":"261130-000000","passed":true}}
command {{"release":"261130-000000","at":"2026-11-30T00:00:00Z","by":"ada@ci","exit":0}}
tool curl
tool python3
folder 261130-000000
current 261130-000000
process ==> .fap/supervisor.conf
process [program:shop]
start 261130-000000-1
front 261130-000000-1
memory 5000
available 100000
schedules set
record 261130-000000 {{"state":"live","previous":"261129-000000","by":"ada@ci","at":"2026-11-30T00:00:00Z"}}
artifact 261130-000000 {ARTIFACT}
locked ada@ci
frozen {{"who":"ada","at":"now","why":"x"}}
owner {{"app":"shop","stage":"production","role":"web"}}
manager converge
free 1000000
missing config/a.ini
"""


def damaged(text: str, random: Random) -> str:
    """The text with one to five random changes."""
    for _ in range(random.randint(1, 5)):
        start = random.randrange(len(text) + 1)
        end = min(len(text), start + random.choice([0, 0, 1, 5, 40]))
        lines = text.split("\n")
        kind = random.randrange(5)
        if kind == 0:
            text = text[:start] + random.choice(ODD) + text[end:]
        elif kind == 1:
            text = text[:start] + text[end:]
        elif kind == 2:
            line = random.randrange(len(lines))
            lines.insert(random.randrange(len(lines)), lines[line])
            text = "\n".join(lines)
        elif kind == 3:
            lines.pop(random.randrange(len(lines)))
            text = "\n".join(lines)
        else:
            number = random.randrange(len(lines))
            head, colon, _ = lines[number].partition(":")
            lines[number] = f"{head}{colon} {random.choice(ODD)}"
            text = "\n".join(lines)
    return text


def refusal(work: Callable[[], object], seed: int) -> FapError | None:
    """The error with which something was refused; a traceback of anything else names the seed."""
    try:
        work()
    except FapError as error:
        return error
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
    return None


def read(path: Path) -> None:
    file = deployfile.read(path)
    options = registry.options_of(file)
    config.check(file, options, {})
    for stage in config.stages_of(file, options):
        config.targets(file, stage, None, {}, options)


@pytest.mark.parametrize("name", ["docs/deploy.yml", "examples/shop/deploy.yml"])
def test_a_damaged_deploy_yml_is_an_error_with_a_message(name: str, tmp_path: Path) -> None:
    text, path = (ROOT / name).read_text(), tmp_path / "deploy.yml"
    refusals = []
    for seed in SEEDS:
        path.write_text(damaged(text, Random(seed)), errors="surrogateescape")
        if error := refusal(lambda: read(path), seed):
            refusals.append(error)
    assert all(error.message for error in refusals)
    assert len(refusals) > len(SEEDS) / 4


def test_damaged_answers_of_a_host_are_errors_with_a_message() -> None:
    seeds = range(10 * len(SEEDS))
    refusals = [
        error
        for seed in seeds
        if (error := refusal(lambda: state.parse(damaged(PROBE, Random(seed))), seed))  # noqa: B023
    ]
    assert all(error.message and error.hint for error in refusals)
    assert len(refusals) > len(seeds) / 10


def test_damaged_answers_for_views_are_left_out() -> None:
    report = "time 5\nmachine x86_64\nlibc glibc 2.36\npython 3.11.2\ninodes 5\nrestarted 5 9\nstale a 7\n"
    event = '{"at":"2026-11-30T00:00:00Z","event":"released","release":"261130-000000","from":"","who":"a"}\n'
    for seed in range(10 * len(SEEDS)):
        random = Random(seed)
        for parse, text in (
            (host_report.parse, report),
            (history.parse, event),
            (status_view.parse_processes, '{"name":"web","up":5,"restarts":null}\n'),
            (status_view.parse_sizes, "5 261130-000000\n"),
        ):
            assert refusal(lambda: parse(damaged(text, random)), seed) is None  # noqa: B023

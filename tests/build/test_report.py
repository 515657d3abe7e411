"""The progress of a build as people see it: in a log, on GitHub, on a terminal."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from fapbuild.report import GroupedReporter, write_outputs
from tests.parts.project import PYPROJECT, Project

STEP = '[[tool.fapbuild.assets]]\nname = "front"\nrun = ["%s"]\noutputs = ["x"]\n'


def test_a_log_gets_a_line_for_each_thing_and_no_output_of_steps(project: Project) -> None:
    run = "echo it works; echo > x"
    talk = project.commit({"pyproject.toml": PYPROJECT + STEP % run}).pack()["talk"]
    assert "compiling front\n" in talk
    assert re.search(r"^compiled front in \d+\.\d s$", talk, re.MULTILINE)
    assert "it works" not in talk
    assert "\x1b" not in talk


def test_github_gets_a_group_of_what_a_step_printed(project: Project) -> None:
    run = "echo ::set-env name=PATH::/evil; seq 300; echo > x"
    project.commit({"pyproject.toml": PYPROJECT + STEP % run})
    lines = project.pack(GITHUB_ACTIONS="true")["talk"].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("::group::compiled front in"))
    end = lines.index("::endgroup::")
    stop, *shown, resume = lines[start + 1 : end]
    assert stop.removeprefix("::stop-commands::") == resume.strip(":")
    assert shown == [str(number) for number in range(101, 301)], "the last 200 lines"


def test_a_group_is_closed_when_its_task_fails() -> None:
    report = GroupedReporter()
    said: list[str] = []
    report.say = said.append  # type: ignore[method-assign]
    try:
        with report.task("compiling", "compiled") as heard:
            heard("broken")
            raise ValueError
    except ValueError:
        pass
    doing, group = said
    assert doing == "compiling"
    assert group.startswith("::group::compiling\n::stop-commands::")
    assert group.endswith("\n::endgroup::")


def test_github_gets_outputs(project: Project, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    outputs.write_text("earlier=1\n")
    facts = project.pack("--version=1", GITHUB_OUTPUT=str(outputs))
    first, *pairs = outputs.read_text().split("\n", 1)
    found = dict(re.findall(r"^(\w+)<<(?:[0-9a-f]{32})\n(.*)\n[0-9a-f]{32}$", pairs[0], re.MULTILINE))
    assert first == "earlier=1"
    assert found == {
        "app": "shop",
        "version": "1",
        "digest": facts["digest"],
        "root": facts["root"],
        "size": str(facts["size"]),
        "path": "dist/shop-1.tgz",
    }


def test_an_output_is_what_it_is_whatever_it_holds(tmp_path: Path) -> None:
    write_outputs({"path": "a\nb=c"}, {"GITHUB_OUTPUT": str(tmp_path / "outputs")})
    first, *value, last = (tmp_path / "outputs").read_text().splitlines()
    assert value == ["a", "b=c"]
    assert first == f"path<<{last}"
    write_outputs({"path": "a"}, {})


def on_a_terminal(project: Project, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, and the standard error as a terminal got it."""
    master, slave = pty.openpty()
    env = {**os.environ, **project.env, "TERM": "xterm", "CI": ""}
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    started = subprocess.Popen(
        [sys.executable, "-m", "fapbuild", *arguments],
        cwd=project.folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    )
    os.close(slave)
    seen = b""
    try:
        while data := os.read(master, 65536):
            seen += data
    except OSError:  # the other end was closed
        pass
    os.close(master)
    assert started.stdout is not None
    out = started.stdout.read()
    return started.wait(), out, re.sub(r"\x1b\[[0-9;]*m", "", seen.decode())


def test_a_terminal_sees_what_is_under_way_and_keeps_what_was_done(project: Project) -> None:
    run = "echo bundling [bold]; sleep 0.5; echo > x"
    project.commit({"pyproject.toml": PYPROJECT + STEP % run})
    code, out, seen = on_a_terminal(project, "pack", "--json")
    assert code == 0
    assert json.loads(out)["app"] == "shop"
    assert re.search(r"compiling front +0:00:0\d +bundling \[bold\]", seen)
    assert re.search(r"compiled front in 0\.\d s\r\n", seen)
    assert seen.rstrip().endswith("\x1b[?25h"), "the cursor is back"


def test_a_terminal_sees_an_error_last(project: Project) -> None:
    project.commit({"pyproject.toml": PYPROJECT + STEP % "echo it broke; false"})
    code, out, seen = on_a_terminal(project, "pack")
    assert (code, out) == (1, "")
    assert "  it broke\r\n" in seen
    assert "hint: it ran in a copy" in seen.splitlines()[-1]


def test_an_error_is_an_annotation_on_github_and_holds_no_command(project: Project) -> None:
    project.commit({"pyproject.toml": PYPROJECT + STEP % "echo ::add-mask::x 100%; false"})
    done = project.run("pack", GITHUB_ACTIONS="true")
    assert done.returncode == 1
    *_, last = lines = done.stderr.splitlines()
    assert last.startswith(
        "::error title=fapbuild::assets 'front': 'echo ::add-mask::x 100%25; false' failed"
    )
    assert "%0A  ::add-mask::x 100%25%0A" in last
    stop = max(number for number, line in enumerate(lines) if line.startswith("::stop-commands::"))
    resume = lines.index(f"::{lines[stop].removeprefix('::stop-commands::')}::")
    shown = lines[stop + 1 : resume]
    assert shown[0].startswith("fapbuild: assets 'front'")
    assert "  ::add-mask::x 100%" in shown
    assert shown[-1].startswith("hint: ")

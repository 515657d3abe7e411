"""The commands that all three programs have, renamed options, and closed streams, with the real programs."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.parts.fapstore_command import Cli

BIN = Path(sys.executable).parent
PROGRAMS = ("fapbuild", "fapstore", "faprelease")
every_program = pytest.mark.parametrize("program", PROGRAMS)


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / program, *words], capture_output=True, text=True)


def in_a_shell(shell: str, script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(
        [shell, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )


@every_program
def test_bash_completes_with_the_script(program: str, tmp_path: Path) -> None:
    script = f"""\
eval "$({program} completion bash)"
COMP_WORDS=({program} comp) COMP_CWORD=1
_{program}_completion {program}
echo "${{COMPREPLY[@]}}"
"""
    done = in_a_shell("bash", script, tmp_path)
    assert (done.stdout, done.stderr) == ("completion\n", "")


@every_program
@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_accept_the_script(program: str, shell: str, tmp_path: Path) -> None:
    done = run(program, "completion", shell)
    assert done.returncode == 0, done.stderr
    assert f"_{program.upper()}_COMPLETE={shell}_complete" in done.stdout
    if shutil.which(shell):
        (tmp_path / "script").write_text(done.stdout)
        assert in_a_shell(shell, f"{shell} -n script", tmp_path).returncode == 0


def test_the_shell_completes_commands_after_help(tmp_path: Path) -> None:
    script = "COMP_WORDS='fapstore help prom' COMP_CWORD=2 _FAPSTORE_COMPLETE=bash_complete fapstore"
    assert in_a_shell("bash", script, tmp_path).stdout == "plain,promote\n"


@every_program
def test_version_and_help_are_commands_too(program: str) -> None:
    assert run(program, "version").stdout == run(program, "--version").stdout != ""
    assert run(program, "help").stdout == run(program, "--help").stdout != ""
    assert run(program, "help", "version").stdout == run(program, "version", "--help").stdout != ""
    wrong = run(program, "help", "vresion")
    assert wrong.returncode == 2
    assert "there is no command 'vresion'; did you mean 'version'?" in wrong.stderr


@every_program
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["version", "nonsense"])
def test_a_closed_stream_is_no_error(program: str, closed: str, words: str, tmp_path: Path) -> None:
    expected = in_a_shell("sh", f"{program} {words}", tmp_path)
    done = in_a_shell("sh", f"{program} {words} {closed}", tmp_path)
    assert done.returncode == expected.returncode
    assert "Traceback" not in done.stderr
    if "2>&-" not in closed:
        assert done.stderr == expected.stderr


@every_program
@pytest.mark.parametrize("words", ["version", "help", "completion bash"])
def test_a_full_disk_behind_the_output_is_one_line(program: str, words: str, tmp_path: Path) -> None:
    done = in_a_shell("sh", f"unset PYTHONUNBUFFERED; {program} {words} >/dev/full", tmp_path)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "Traceback" not in done.stderr


@every_program
def test_a_full_disk_behind_the_errors_keeps_the_exit_code(program: str, tmp_path: Path) -> None:
    done = in_a_shell("sh", f"unset PYTHONUNBUFFERED; {program} nonsense --oh 2>/dev/full", tmp_path)
    expected = in_a_shell("sh", f"{program} nonsense --oh", tmp_path)
    assert done.returncode == expected.returncode == 2


def test_reason_is_still_an_override(tmp_path: Path) -> None:
    store = Cli(tmp_path, f"file://{tmp_path}/store")
    old, new = (
        store("promote", "shop", "1", flag, "hotfix", "--to", "x") for flag in ("--reason", "--override")
    )
    assert (old.returncode, old.stderr) == (new.returncode, new.stderr)
    assert "No such option" not in old.stderr
    assert "--reason" not in store("promote", "--help").stdout

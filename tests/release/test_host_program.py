"""What a host has compiled once: used again by the same program, if nobody else could write it."""

import marshal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from faprelease.steps import read_host_file

PROGRAM = (
    "\n#### greet\ndef main(load, parts, word):\n    print(word)\n    raise SystemExit(3)\n\n#### input\nx"
)
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the program that greets, and return what it said; its code is kept in `tmp_path/code`."""

    def ran(folder: str = str(tmp_path / "code"), digest: str = "d1") -> str:
        argv = ["python3", "-I", "-S", "-c", read_host_file("start.py"), folder, digest, "greet", "hello"]
        done = subprocess.run(
            argv,
            input=PROGRAM,
            capture_output=True,
            text=True,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin"},
        )
        assert (done.returncode, done.stderr) == (3, "")
        return done.stdout

    return ran


def kept(tmp_path: Path) -> Path:
    (file,) = (tmp_path / "code").iterdir()
    return file


def replace(file: Path) -> None:
    """Put another program's code there; the tests run with the Python of the hosts."""
    text = PROGRAM.replace("print(word)", "print('kept')").partition("greet\n")[2].partition("\n####")[0]
    file.write_bytes(marshal.dumps({"greet": compile(text, "greet", "exec")}))


def test_code_is_kept_for_the_same_program(run: Run, tmp_path: Path) -> None:
    assert run() == "hello\n"
    assert kept(tmp_path).name.startswith("greet.d1.")
    assert kept(tmp_path).stat().st_mode & 0o777 == 0o600
    replace(kept(tmp_path))
    assert run() == "kept\n"
    assert run(digest="d2") == "hello\n"
    assert kept(tmp_path).name.startswith("greet.d2.")


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_code_that_others_could_have_written_is_made_again(run: Run, tmp_path: Path, mode: int) -> None:
    run()
    replace(kept(tmp_path))
    kept(tmp_path).chmod(mode)
    assert run() == "hello\n"
    assert kept(tmp_path).stat().st_mode & 0o777 == 0o600


def test_code_of_another_user_or_cut_short_is_made_again(run: Run, tmp_path: Path) -> None:
    run()
    for data in (b"", kept(tmp_path).read_bytes()[:50], b"\0" * 99, b"N"):
        kept(tmp_path).write_bytes(data)
        assert run() == "hello\n"
    replace(kept(tmp_path))
    subprocess.run(["chown", "daemon", kept(tmp_path)], check=True)
    assert run() == "hello\n"


def test_without_a_place_for_it_all_runs_the_same(run: Run, tmp_path: Path) -> None:
    assert run(folder="") == "hello\n"
    (tmp_path / "code").write_text("a file")
    assert run() == "hello\n"

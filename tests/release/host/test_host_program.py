"""What a host keeps of a program: used again by the same one, if nobody else could write it."""

import hashlib
import marshal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from faprelease.steps.host_files import read_host_file

TEXT = """
#### greet
def main(load, parts, word):
    print(word + parts["input"])
    raise SystemExit(3)
"""
DIGEST = hashlib.sha256(TEXT.encode()).hexdigest()
Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the program that greets, and return what it said; it is kept in `tmp_path/code`."""

    def ran(folder: str = "", digest: str = DIGEST, sent: str = TEXT, code: int = 3) -> str:
        folder = folder or str(tmp_path / "code")
        argv = [
            "python3",
            "-I",
            "-S",
            "-c",
            read_host_file("programs/start.py"),
            folder,
            digest,
            "greet",
            "hello",
        ]
        done = subprocess.run(
            argv,
            input=f"{sent}\n#### input\n!",
            capture_output=True,
            text=True,
            env={"HOME": str(tmp_path), "PATH": "/usr/bin"},
        )
        assert (done.returncode, done.stderr) == (code, "")
        return done.stdout

    return ran


def source(tmp_path: Path, digest: str = DIGEST) -> Path:
    return tmp_path / f"code/greet.{digest}.txt"


def kept(tmp_path: Path) -> Path:
    """The compiled code; beside it lies the text, and nothing else."""
    (file,) = (path for path in (tmp_path / "code").iterdir() if path.suffix != ".txt")
    assert len(list((tmp_path / "code").iterdir())) == 2
    return file


def replace(file: Path) -> None:
    """Put another program's code there; the tests run with the Python of the hosts."""
    text = TEXT.replace("print(word", "print('kept'").partition("greet\n")[2]
    code = marshal.dumps({"greet": marshal.dumps(compile(text, "greet", "exec"))})
    file.write_bytes(hashlib.sha256(DIGEST.encode() + code).digest() + code)


def test_code_is_kept_for_the_same_program(run: Run, tmp_path: Path) -> None:
    assert run() == "hello!\n"
    assert kept(tmp_path).name.startswith(f"greet.{DIGEST}.")
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "code").iterdir()} == {0o600}
    replace(kept(tmp_path))
    assert run() == "kept!\n"
    assert run(digest="d2") == "hello!\n"
    assert kept(tmp_path).name.startswith("greet.d2.")


def test_a_program_that_is_here_need_not_be_sent(run: Run, tmp_path: Path) -> None:
    run()
    assert run(sent="") == "hello!\n"
    kept(tmp_path).unlink()  # another Python is there now
    assert run(sent="") == "hello!\n"
    assert kept(tmp_path).exists()


@pytest.mark.parametrize("how", ["gone", "damaged", "another's", "open"])
def test_a_program_that_can_not_be_used_is_sent_the_next_time(run: Run, tmp_path: Path, how: str) -> None:
    run()
    kept(tmp_path).unlink()
    file = source(tmp_path)
    if how == "gone":
        file.unlink()
    elif how == "damaged":
        file.write_text(TEXT[:-9])
    elif how == "open":
        file.chmod(0o622)
    else:
        subprocess.run(["chown", "daemon", file], check=True)
    said = run(sent="", code=1)
    assert "release again to send it again" in said
    assert not file.exists(), "so it is not said to be here"
    assert run() == "hello!\n"
    assert run(sent="") == "hello!\n"


def test_damaged_code_is_made_again(run: Run, tmp_path: Path) -> None:
    run()
    data = kept(tmp_path).read_bytes()
    at = data.rindex(b"input")  # the name of a part, which the code asks for
    kept(tmp_path).write_bytes(data[:at] + b"other" + data[at + 5 :])
    assert run(sent="") == "hello!\n"


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_code_that_others_could_have_written_is_made_again(run: Run, tmp_path: Path, mode: int) -> None:
    run()
    replace(kept(tmp_path))
    kept(tmp_path).chmod(mode)
    assert run() == "hello!\n"
    assert kept(tmp_path).stat().st_mode & 0o777 == 0o600


def test_code_of_another_user_or_cut_short_is_made_again(run: Run, tmp_path: Path) -> None:
    run()
    for data in (b"", kept(tmp_path).read_bytes()[:50], b"\0" * 99, b"N"):
        kept(tmp_path).write_bytes(data)
        assert run() == "hello!\n"
    replace(kept(tmp_path))
    subprocess.run(["chown", "daemon", kept(tmp_path)], check=True)
    assert run() == "hello!\n"


def test_without_a_place_for_it_all_runs_the_same(run: Run, tmp_path: Path) -> None:
    assert run(folder="/proc/nowhere") == "hello!\n"
    (tmp_path / "code").write_text("a file")
    assert run() == "hello!\n"

"""The memory of a pack does not grow with the size of the project."""

import os
import subprocess
import sys
from pathlib import Path

from tests.parts.project import Project

LIMIT = 150_000_000
# Of the pack itself and, apart, of the largest program that it starts.
PACK = """\
import re, resource
from pathlib import Path
from fapbuild import cli
try:
    cli.main(["pack"])
except SystemExit as ended:
    assert not ended.code, ended.code
# getrusage would count the tests' own process, which this one was before its exec
print(int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""


def test_a_file_larger_than_the_limit(tmp_path: Path, build_env: dict[str, str]) -> None:
    settings = '[tool.fapbuild]\napp = "big"\nfile_limit = 300\n'
    project = Project(tmp_path, build_env).write({"pyproject.toml": settings})
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(LIMIT + 20_000_000)
    project.commit()
    (tmp_path / "large.bin").touch()  # so git has to read it again to see that nothing changed
    env = {**os.environ, **build_env}
    argv = [sys.executable, "-c", PACK]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pack, largest = map(int, done.stdout.split()[-2:])
    assert pack < LIMIT
    assert largest < LIMIT

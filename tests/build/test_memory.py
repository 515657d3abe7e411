"""A pack's memory does not grow with what is packed."""

import os
import subprocess
import sys
from pathlib import Path

from tests.build.project import Project

LIMIT = 150_000_000
# Of the pack itself and, apart, of the largest program that it starts.
PACK = """\
import resource, sys
from fapbuild import cli
try:
    cli.main(["pack"])
except SystemExit as ended:
    assert not ended.code, ended.code
for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
    print(resource.getrusage(who).ru_maxrss * 1024)
"""


def test_a_file_larger_than_the_limit(tmp_path: Path, build_env: dict[str, str]) -> None:
    settings = '[tool.fapbuild]\napp = "big"\nfile_limit = 300\n'
    project = Project(tmp_path, build_env).write({"pyproject.toml": settings})
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(LIMIT + 20_000_000)
    project.commit()
    (tmp_path / "large.bin").touch()  # so git has to read it again to know that nothing changed
    env = {**os.environ, **build_env}
    argv = [sys.executable, "-c", PACK]
    done = subprocess.run(argv, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pack, largest = map(int, done.stdout.split()[-2:])
    assert pack < LIMIT
    assert largest < LIMIT

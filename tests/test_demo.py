"""The demos of the README, as a person would run them."""

import os
import re
import subprocess
import sys

import pytest

from tests.parts.repository import ROOT

ANSWER = re.compile(r'"version":"(\d)"')


@pytest.mark.demo
@pytest.mark.parametrize(("arguments", "hosts"), [([], 1), (["--fleet"], 3)], ids=["this machine", "fleet"])
def test_two_versions_go_out_and_one_comes_back(arguments: list[str], hosts: int) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "demo.py", *arguments],
        env={key: value for key, value in os.environ.items() if key != "FAP_STORE"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ANSWER.findall(done.stdout) == ["1"] * hosts + ["2"] * hosts + ["1"] * hosts
    events = re.findall(r"Z  (released|rolled back) +\S+  version (\d)", done.stdout)
    meanwhile = re.findall(r"Customers sent (\d+) requests meanwhile; (\d+) failed", done.stdout)
    assert [failed for _, failed in meanwhile] == ["0", "0"]
    assert min(int(sent) for sent, _ in meanwhile) > 20
    assert events == [("released", "1"), ("released", "2"), ("rolled back", "1")]

"""A stage that is retired, for example one that began by a typo."""

import time
from pathlib import Path

from tests.parts.fapstore_command import Cli
from tests.parts.tgz import tgz


def test_a_retired_stage_keeps_no_version(tmp_path: Path) -> None:
    cli = Cli(tmp_path, f"file://{tmp_path}/store")
    for version in "123":
        cli.out("push", tgz(tmp_path, version=version))
    cli.out("promote", "shop", "1", "production")
    cli.out("promote", "shop", "2", "Production", "--new-stage")
    refused = cli("retire", "shop", "nothing", "--why", "x")
    assert refused.returncode == 1
    assert "shop has no stage nothing" in refused.stderr
    cli.out("freeze", "shop", "Production", "--why", "sale")
    assert "is frozen" in cli("retire", "shop", "Production", "--why", "typo").stderr
    cli.out("unfreeze", "shop", "Production")
    cli.out("retire", "shop", "Production", "--why", "typo")
    assert "already at that state" in cli("retire", "shop", "Production", "--why", "again").stderr
    lines = cli.out("stages", "shop").splitlines()
    assert any(line.startswith("Production       retired  entry 4, ") for line in lines)
    assert "ann@desk retired the stage, which leaves no version" in cli.out("history", "shop", "Production")
    time.sleep(1.1)
    cli.out("gc", "shop", "--grace", "0s", "--wait", "0s")
    removed = {line.split()[0] for line in cli.out("list", "shop").splitlines() if line.endswith("removed")}
    assert removed == {"2", "3"}
    cli.out("verify", "shop")
    cli.out("promote", "shop", "1", "Production")
    assert "has no previous version" in cli("rollback", "shop", "Production").stderr

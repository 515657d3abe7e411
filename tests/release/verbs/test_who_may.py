"""Who may do what, on a server that asks whose key it is: docs/how-to/access.md."""

from pathlib import Path

import pytest

from artifact_store.core.actor import Actor
from artifact_store.core.errors import StoreError
from artifact_store.store.store import Store, open_store
from faprelease.report.report import Report
from faprelease.verbs import release
from tests.parts.seaweed import SHARED, Server
from tests.parts.site import Site, artifact

pytestmark = pytest.mark.s3


def test_a_releaser_needs_a_key_that_reads_and_one_prefix_for_its_records(
    s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def act_as(env: dict[str, str]) -> Store:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return open_store(f"s3://{SHARED}")

    s3_server.make_bucket(SHARED)
    one, two = (Path(artifact(tmp_path, name).removeprefix("file://")) for name in ("1", "2"))
    builder = act_as(s3_server.env_of("builder"))
    builder.artifacts.publish(one, by=Actor("ci"))
    with pytest.raises(StoreError, match="AccessDenied"):
        builder.stages.promote("shop", "1", "production", by=Actor("ci"))
    act_as(s3_server.env).stages.promote("shop", "1", "production", by=Actor("ann"))

    releaser = act_as(s3_server.env_of("releaser"))
    site = Site(tmp_path)
    site.configure(f"store: s3://{SHARED}")
    release.release(site.request(), Report())
    assert site.version() == "1"
    (record,) = releaser.records.releases("shop", "production")
    assert (record.version, record.outcome) == ("1", "healthy")
    with pytest.raises(StoreError, match="AccessDenied"):
        releaser.artifacts.publish(two, by=Actor("rel"))
    with pytest.raises(StoreError, match="AccessDenied"):
        releaser.stages.promote("shop", "1", "staging", by=Actor("rel"))

"""One record of each kind, as `faprelease` and a host write it."""

from datetime import UTC, datetime

from artifact_store.records.hosts import HostRecord
from artifact_store.records.releases import HostOutcome, ReleaseRecord

RELEASE_RECORD = ReleaseRecord(
    app="shop",
    stage="staging",
    role="web",
    action="release",
    release="261122-185409",
    previous="",
    version="1",
    digest="a" * 64,
    config="c" * 64,
    entry=3,
    outcome="healthy",
    hosts=(HostOutcome(host="web1", outcome="healthy"),),
    who="ann@desk",
    at=datetime(2026, 11, 22, 18, 54, 9, tzinfo=UTC),
    ci="",
    operation="fap-1",
)
HOST_RECORD = HostRecord(
    app="shop",
    stage="production",
    role="web",
    host="web1.example.com",
    entry=7,
    version="1",
    digest="a" * 64,
    config="c" * 64,
    release="261126-010200",
    previous="261125-090000",
    outcome="healthy",
    problem="",
    at=datetime(2026, 11, 26, 1, 2, 3, tzinfo=UTC),
    fapkit="0.1.0",
    operation="run-1",
)

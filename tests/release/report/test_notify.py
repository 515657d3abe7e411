"""Notifications, to a real HTTP server on this machine."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from faprelease.errors import ReleaseFailedError, RolledBackError
from faprelease.plugins import webhook
from faprelease.report import notify
from tests.parts.site import Site, artifact


@contextmanager
def receiver(status: int = 200, seconds: float = 0.0) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A URL, and the bodies that were posted there."""
    bodies: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/json"
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            time.sleep(seconds)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/services/T0/s3cret-token", bodies
        server.shutdown()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def configure(site: Site, *more: str) -> None:
    site.configure("\n".join(["plugins: [fapistrano.slack, webhook, tests.parts.plugins]", *more]))


def test_it_is_told_how_each_run_began_and_ended(site: Site) -> None:
    with receiver() as (url, bodies):
        configure(site, f"webhook_url: {url}", f"slack_webhook: {url}", "slack_channel: '#ops'")
        first = site.release(artifact(site.folder / "1", "1"))
        slack, plain = bodies[::2], bodies[1::2]
        assert [body["what"] for body in plain] == ["started", "finished"]
        assert (plain[0]["app"], plain[0]["stage"], plain[0]["hosts"]) == (
            "shop",
            "production",
            ["localhost"],
        )
        assert (plain[0]["verb"], plain[0]["release"], plain[0]["roles"]) == ("release", first, ["web"])
        assert [body["channel"] for body in slack] == ["#ops", "#ops"]
        assert slack[1]["text"].startswith(f"*finished*: release {first} to production")
        del bodies[:]
        with pytest.raises(RolledBackError):
            site.release(artifact(site.folder / "2", "2"), fail_at="checking", fail_on="localhost")
        with pytest.raises(ReleaseFailedError):
            site.release(artifact(site.folder / "3", "3"), fail_at="updated")
        assert [body["what"] for body in bodies[1::2]] == ["started", "rolled back", "started", "failed"]
        assert "told to fail" in bodies[3]["message"]
        assert "told to fail" in bodies[2]["text"]


def test_what_fails_is_only_said_and_shows_no_secret(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    with receiver(status=500) as (url, _):
        configure(site, f"webhook_url: {url}", "slack_webhook: http://127.0.0.1:9/s3cret-token")
        site.release(artifact(site.folder / "1", "1"))
    said = capfd.readouterr().err
    assert "warning: notification 'started' failed: webhook: the answer had status 500" in said
    assert "slack: no answer (ConnectError)" in said
    assert "s3cret-token" not in said
    assert site.version() == "1"


def test_what_is_slow_delays_no_release(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notify, "WAIT_SECONDS", 0.3)
    monkeypatch.setattr(webhook, "SECONDS", 30.0)
    with receiver(seconds=3) as (url, _):
        configure(site, "slack_webhook: ''", f"webhook_url: {url}")
        monkeypatch.delenv("FAP_SLACK_WEBHOOK", raising=False)
        site.release(artifact(site.folder / "1", "1"))
    said = capfd.readouterr().err
    assert "slack_webhook is not set" in said
    assert "not all notifications were sent" in said


def test_another_webhook_is_no_other_configuration(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    with receiver() as (url, bodies):
        configure(site, f"webhook_url: {url}")
        first = site.release(artifact(site.folder / "1", "1"))
        digest = site.ledger()[-1]["artifact"]["digest"]
        assert (
            site.release(artifact(site.folder / "1", "1"), curl_sha256=digest, webhook_url=f"{url}/2")
            == first
        )
    assert "nothing to do" in capfd.readouterr().err
    assert len(bodies) == 2

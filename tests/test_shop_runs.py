"""The example shop, packed, installed without a network and run by its own `.fap/run`."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.parts.fleet import wait_until
from tests.parts.repository import ROOT

SHOP = ROOT / "examples" / "shop"
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.shop


@dataclass(frozen=True)
class Installed:
    """The shop's artifact, extracted and installed in `release`."""

    release: Path
    version: str
    orders: Path

    def environment(self, **more: str) -> dict[str, str]:
        path = f"{os.defpath}:{os.environ['PATH']}"
        own = {"SHOP_STAGE": "test", "SHOP_SECRET_KEY": "not-a-secret", "SHOP_ORDERS": str(self.orders)}
        return {"PATH": path, **own, **more}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        argv = [str(self.release / ".fap/run"), *arguments]
        return subprocess.run(argv, env=self.environment(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("shop")
    source, release = folder / "source", folder / "release"
    shutil.copytree(
        SHOP, source, ignore=shutil.ignore_patterns("node_modules", "dist", ".venv", "__pycache__")
    )
    who = ("-c", "user.name=shop", "-c", "user.email=shop@example.com")
    for arguments in (["init", "-q"], ["add", "--all"], [*who, "commit", "-q", "-m", "A shop"]):
        subprocess.run(["git", *arguments], cwd=source, check=True)
    argv = [str(BIN / "fapbuild"), "pack", "--json", "-o", str(folder / "dist")]
    packed = subprocess.run(argv, cwd=source, capture_output=True, text=True, check=False)
    assert packed.returncode == 0, packed.stderr
    with tarfile.open(next((folder / "dist").glob("*.tgz")), "r:gz") as archive:
        archive.extractall(release, filter="fully_trusted")
    done = subprocess.run(["./install.sh"], cwd=release, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.copy(source / "settings.example.toml", release / "settings.toml")
    return Installed(release, json.loads(packed.stdout)["version"], folder / "orders")


@pytest.fixture(scope="module")
def web(installed: Installed) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    argv = [str(installed.release / ".fap/run"), "web"]
    log = installed.release.parent / "web.log"
    with log.open("wb") as output:
        environment = installed.environment(PORT=str(port), WEB_CONCURRENCY="1")
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output)
    try:
        wait_until(lambda: "Listening at" in log.read_text() or process.poll() is not None, "web listens", 20)
        assert process.poll() is None, log.read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        process.terminate()
        process.wait(20)


def token(page: httpx.Response) -> dict[str, str]:
    found = re.search(r'name="csrf_token" value="([^"]+)"', page.text)
    assert found, page.text
    return {"csrf_token": found[1]}


def test_health_names_the_running_release(installed: Installed, web: httpx.Client) -> None:
    answer = web.get("/health").json()
    assert answer["version"] == installed.version
    assert re.fullmatch("[0-9a-f]{40}", answer["commit"])


def test_compiled_assets_have_hashed_names_and_are_cached_for_ever(web: httpx.Client) -> None:
    names = re.findall(r"/static/dist/shop-[0-9A-Z]{8}\.(?:js|css)", web.get("/").text)
    assert len(names) == 2
    for name in names:
        answer = web.get(name)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]


def test_an_order_goes_from_the_cart_to_the_worker(installed: Installed, web: httpx.Client) -> None:
    form = token(web.get("/"))
    assert web.post("/cart/teapot", data=form).status_code == 303
    assert web.post("/cart/honey", data={**form, "quantity": "3"}).status_code == 303
    assert "55.60 €" in web.get("/cart").text
    assert web.post("/order", data=form).status_code == 303
    assert "is being packed" in web.get("/").text

    assert "packed" in installed.run("--", "python", "-m", "shop.worker", "--once").stdout
    (order,) = (installed.orders / "done").iterdir()
    assert json.loads(order.read_bytes())["total"] == "55.60"
    assert list((installed.orders / "new").iterdir()) == []
    assert "forgot 0" in installed.run("--", "python", "-m", "shop.cron", "--once").stdout


def test_a_form_without_its_token_is_refused(web: httpx.Client) -> None:
    assert web.post("/cart/teapot").status_code == 400


@pytest.mark.parametrize("name", ["worker", "cron"])
def test_a_loop_ends_at_once_on_sigterm(installed: Installed, name: str) -> None:
    argv = [str(installed.release / ".fap/run"), name]
    with subprocess.Popen(argv, env=installed.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline().startswith(f"{name} {installed.version}")
        process.send_signal(signal.SIGTERM)
        assert process.wait(2) == 0

"""Passwords of private indexes: used, but never visible."""

import netrc
import os
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifact_store.core.errors import UsageError
from fapbuild.wheels.credentials import IndexLogin, netrc_text, out_of_sight, split
from tests.parts.project import Project
from tests.parts.source_package import below, package
from tests.parts.webserver import Site, offer, serve
from tests.parts.wheelhouse import make_wheel

SECRET = "s3cret-Pass%40word"
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")


def test_a_password_is_taken_out_of_its_url() -> None:
    changed, logins = split(
        {
            "PIP_INDEX_URL": "https://me:p%40ss@example.org:8443/a/simple?x=1",
            "PIP_EXTRA_INDEX_URL": "https://example.net/simple https://me:p%40ss@example.org/b https://token:@x.io/",
            "OTHER": "https://me:pass@example.com",
        }
    )
    assert changed == {
        "PIP_INDEX_URL": "https://example.org:8443/a/simple?x=1",
        "PIP_EXTRA_INDEX_URL": "https://example.net/simple https://example.org/b https://x.io/",
    }
    assert logins == (IndexLogin("example.org", "me", "p@ss"), IndexLogin("x.io", "token", ""))


def test_two_logins_for_one_host_are_refused() -> None:
    with pytest.raises(UsageError, match=r"example.org has two logins") as caught:
        split(
            {"PIP_INDEX_URL": "https://a:b@example.org/", "PIP_EXTRA_INDEX_URL": "https://c:d@example.org/"}
        )
    assert "keyring" in caught.value.hint


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1), st.text(min_size=1))
def test_any_password_survives_the_netrc(
    tmp_path_factory: pytest.TempPathFactory, user: str, password: str
) -> None:
    password = password.encode("utf-8", "ignore").decode().replace("\0", "").replace("\r", "") or "x"
    path = tmp_path_factory.getbasetemp() / "netrc"
    path.write_text(netrc_text((IndexLogin("example.org", user, password),)), encoding="utf-8", newline="")
    found = netrc.netrc(path).authenticators("example.org")
    assert found
    assert (found[0], found[2]) == (user, password)


def test_the_users_own_netrc_and_configuration_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine other.org login you password yours\n")
    (tmp_path / "pip.conf").write_text("[global]\nextra-index-url =\n  https://me:mine@example.org/simple\n")
    for name in (*INDEXES, "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    before = dict(os.environ)
    with out_of_sight():
        path = Path(os.environ["NETRC"])
        assert path.stat().st_mode & 0o777 == 0o600
        assert sorted(netrc.netrc(path).hosts) == ["example.org", "other.org"]
        assert os.environ["PIP_EXTRA_INDEX_URL"].split()[-1] == "https://example.org/simple"
    assert dict(os.environ) == before
    assert not path.exists()


def test_without_passwords_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "https://me@example.org/simple")
    monkeypatch.setenv("PIP_KEYRING_PROVIDER", "disabled")
    before = dict(os.environ)
    with out_of_sight():
        assert dict(os.environ) == before


@contextmanager
def watched() -> Iterator[set[str]]:
    """The command lines of all processes of this machine during the block, as `ps` shows them."""
    seen: set[str] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


@pytest.fixture
def private(tmp_path: Path) -> Iterator[tuple[Site, str]]:
    """An index that demands a login, with an sdist that needs a tool of the same index to be built."""
    house = tmp_path / "private"
    make_wheel(house, "fapkit-test-tool")
    files = package("fapkit_test_private")
    files["pyproject.toml"] = files["pyproject.toml"].replace(
        "requires = []", 'requires = ["fapkit-test-tool"]'
    )
    source = tmp_path / "source"
    for name, text in below("fapkit_test_private-1.0", files).items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    info = source / "fapkit_test_private-1.0" / "PKG-INFO"
    info.write_text("Metadata-Version: 2.1\nName: fapkit-test-private\nVersion: 1.0\n")
    with tarfile.open(house / "fapkit_test_private-1.0.tar.gz", "w:gz") as tar:
        tar.add(source / "fapkit_test_private-1.0", "fapkit_test_private-1.0")
    with serve() as site:
        index = offer(site, house.iterdir())
        site.login = f"me:{SECRET.replace('%40', '@')}"
        yield site, index


def test_a_private_index_is_used_and_its_password_is_nowhere(
    project: Project, private: tuple[Site, str], tmp_path: Path
) -> None:
    site, index = private
    env = {
        "PIP_EXTRA_INDEX_URL": index.replace("://", f"://me:{SECRET}@"),
        "FAP_CACHE": str(tmp_path / "cache"),
    }
    project.commit({"requirements.in": "fapkit-test-private\n"})
    with watched() as seen:
        done = project.run("lock", **env)
        assert done.returncode == 0, done.stderr
        facts = project.commit().pack(**env)
    assert any("fapkit_test_private" in path for path, _ in site.asked)
    hosts = index.removeprefix("http://")
    assert [line for line in seen if "pip" in line and hosts in line], "a pip of a pip was seen"
    said = [*seen, done.stdout, done.stderr, facts["talk"]]
    kept = [
        path
        for folder in (project.folder, tmp_path / "cache")
        for path in folder.rglob("*")
        if path.is_file()
    ]
    written = b"".join(path.read_bytes() for path in kept)
    for secret in (SECRET, SECRET.replace("%40", "@")):
        assert not [line for line in said if secret in line]
        assert secret.encode() not in written
    with tarfile.open(facts["path"]) as tar:
        content = b"".join(stream.read() for member in tar if (stream := tar.extractfile(member)))
    assert b"s3cret" not in content


KEYRING = """\
import json
import os
from pathlib import Path

import keyring.backend


class Keyring(keyring.backend.KeyringBackend):
    priority = 1

    def get_password(self, service, username):
        with Path(os.environ["KEYRING_ASKED"]).open("a") as file:
            print(service, username, file=file)
        return "p@ss" if username == "me" and os.environ["KEYRING_HOST"] in service else None

    def set_password(self, service, username, password):
        raise NotImplementedError
"""


def test_the_login_is_found_in_a_keyring(project: Project, private: tuple[Site, str], tmp_path: Path) -> None:
    """The real keyring package and pip's real client of it, with a backend that needs no desktop."""
    site, index = private
    site.login = "me:p@ss"
    (tmp_path / "backend").mkdir()
    (tmp_path / "backend" / "in_memory.py").write_text(KEYRING)
    env = {
        "PIP_EXTRA_INDEX_URL": index.replace("://", "://me@"),
        "FAP_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(tmp_path / "backend"),
        "PYTHON_KEYRING_BACKEND": "in_memory.Keyring",
        "KEYRING_ASKED": str(tmp_path / "asked"),
        "KEYRING_HOST": index.split("/")[2],
    }
    project.commit({"requirements.in": "fapkit-test-private\n"})
    done = project.run("lock", **env)
    assert done.returncode == 0, done.stderr
    facts = project.commit().pack(**env)
    assert "building fapkit-test-private 1.0 from its sdist" in facts["talk"]
    assert " me\n" in (tmp_path / "asked").read_text()
    refused = project.run("lock", "--upgrade", **env, PIP_KEYRING_PROVIDER="disabled")
    assert refused.returncode == 1
    assert "the login of the index" in refused.stderr


def test_a_wrong_password_is_reported_without_it(project: Project, private: tuple[Site, str]) -> None:
    _, index = private
    project.commit({"requirements.in": "fapkit-test-private\n"})
    done = project.run("lock", PIP_EXTRA_INDEX_URL=index.replace("://", "://me:wr0ng@"))
    assert done.returncode == 1
    assert "No matching distribution found for fapkit-test-private" in done.stderr
    assert "Traceback" not in done.stderr
    assert "wr0ng" not in done.stderr
    assert "the login of the index" in done.stderr


def test_a_url_with_a_login_that_a_tool_prints_is_masked(project: Project) -> None:
    url = "git+https://127.0.0.1:1/x"
    project.commit({"requirements.in": f"x @ {url}\n"})
    project.git("config", "url.https://me:s3cret@127.0.0.1:1/.insteadOf", "https://127.0.0.1:1/")
    done = project.run("lock")
    assert done.returncode == 1
    assert "s3cret" not in done.stderr

"""Values of variables: where they come from, how `.env` carries them, and that nothing shows them.

moto's server stands for AWS: nothing else here has its SSM and Secrets Manager.
"""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from faprelease.config import environment
from faprelease.config.environment import Source, Value, render, resolve
from faprelease.errors import ConfigError
from faprelease.steps import redaction
from faprelease.steps.model import Phase, host_script
from faprelease.steps.wire import Session, preamble
from faprelease.steps.wire import render as script_of
from tests.parts.faprelease_command import run
from tests.parts.site import Site, artifact

SHELLS = [["dash"], ["busybox", "sh"]]
VALUE = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"\\$'\"`\n"))
SECRET = "correct horse $battery 'staple'"


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_every_byte_but_nul_comes_through_each_shell(shell: list[str], tmp_path: Path) -> None:
    file = tmp_path / "release/.env"

    @settings(max_examples=20, deadline=None)
    @given(st.lists(VALUE, min_size=1, max_size=8))
    def comes_through(values: list[bytes]) -> None:
        variables = {f"V{number}": os.fsdecode(value) for number, value in enumerate(values)}
        step = host_script(
            "write",
            "release/environment",
            "release/requires",
            stdin=render(variables),
            release=str(tmp_path),
            file=str(file),
        )
        text = preamble(Session("mark", "token", ())) + script_of(Phase("x", (step,)), "mark", reveal=True)
        wrote = subprocess.run(shell, input=text.encode(errors="surrogateescape"), capture_output=True)
        assert b"mark end 0 0" in wrote.stdout, wrote
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        done = subprocess.run([*shell, "-c", f"set -a; . {file}; exec /usr/bin/env -0"], capture_output=True)
        found = dict(line.split(b"=", 1) for line in done.stdout.split(b"\0") if line)
        assert [found[name.encode()] for name in variables] == values, done.stderr

    comes_through()


@given(VALUE.map(os.fsdecode), st.text(max_size=5))
def test_a_value_is_masked_in_whatever_way_it_is_written(value: str, around: str) -> None:
    for form in redaction.forms([value]):
        assert form not in redaction.redact(f"{around}{form}{around}", redaction.forms([value])).replace(
            "***", "\0"
        )


def asked(folder: Path, **values: Value) -> dict[str, str]:
    (found,) = resolve([(values, {f"environment.{name}": f"line {name}" for name in values})], folder)
    return found


def test_values_come_from_where_deploy_yml_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", SECRET)
    (tmp_path / "key.pem").write_bytes(b"line 1\nline \xff\n\n")
    tell = "import sys; print(sys.argv[1]); open('told', 'a').write('x')"
    command = Source(command=(sys.executable, "-c", tell, "a b"))
    found = asked(
        tmp_path,
        A="plain",
        B=True,
        C=Source(env="SHOP_KEY"),
        D=Source(file="key.pem"),
        E=command,
        F=command,
        G=Source(file=str(tmp_path / "key.pem")),
    )
    assert found == {
        "A": "plain",
        "B": "true",
        "C": SECRET,
        "D": "line 1\nline \udcff\n",
        "E": "a b",
        "F": "a b",
        "G": "line 1\nline \udcff\n",
    }
    assert (tmp_path / "told").read_text() == "x"  # asked once, in the folder of deploy.yml
    assert SECRET not in repr(found)
    assert redaction.redact(f"it is {SECRET}!") == "it is ***!"


def test_all_that_is_missing_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP_KEY", raising=False)
    monkeypatch.setattr(environment, "COMMAND_SECONDS", 0.2)
    (tmp_path / "nul").write_bytes(b"a\0b")
    with pytest.raises(ConfigError) as refused:
        asked(
            tmp_path,
            A=Source(env="SHOP_KEY"),
            B=Source(file="nowhere"),
            C=Source(command=("sh", "-c", "echo half-of-it; exit 3")),
            D=Source(command=("no-such-command-here",)),
            E=Source(command=("sleep", "60")),
            F=Source(file="nul"),
        )
    told = refused.value.message.splitlines()
    for line, said in zip(
        told,
        (
            "line A: A: environment variable SHOP_KEY is not set (export SHOP_KEY=…)",
            "line B: B: can't read nowhere: No such file",
            "line C: C: sh -c 'echo half-of-it; exit 3': exit code 3",
            "line D: D: no-such-command-here: No such file",
            "line E: E: sleep 60: did not end within 0.2 s",
            "line F: F contains a NUL character",
        ),
        strict=True,
    ):
        assert line.startswith(said)


@pytest.fixture(scope="module")
def aws() -> Iterator[Callable[[str], Any]]:
    """Clients of an AWS with two parameters and three secrets; its address is in the environment."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_REGION", "eu-central-1")
        patch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
        ssm, secrets = boto3.client("ssm"), boto3.client("secretsmanager")
        for number in range(11):
            ssm.put_parameter(Name=f"/shop/{number}", Value=f"parameter {number}", Type="SecureString")
        secrets.create_secret(Name="plain", SecretString="all of it")
        secrets.create_secret(
            Name="json", SecretString='{"user": "ada", "port": 5432, "more": {}, "no": null}'
        )
        secrets.create_secret(Name="bytes", SecretBinary=b"\xff\x01")
        yield boto3.client
    server.stop()


@pytest.mark.slow
def test_values_come_from_aws(aws: Callable[[str], Any], tmp_path: Path) -> None:
    names = {f"P{number}": Source(ssm=f"/shop/{number}") for number in range(11)}
    found = asked(
        tmp_path,
        **names,
        A=Source(secret="plain"),
        B=Source(secret="json", key="user"),
        C=Source(secret="json", key="port"),
        D=Source(secret="bytes"),
    )
    assert [found[name] for name in names] == [f"parameter {number}" for number in range(11)]
    assert [found[name] for name in "ABCD"] == ["all of it", "ada", "5432", "\udcff\x01"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "said"),
    [
        (Source(ssm="/shop/none"), "line A: A: SSM has no parameter /shop/none"),
        (Source(secret="none"), "line A: A: secretsmanager: ResourceNotFoundException"),
        (Source(secret="json", key="none"), "the secret json has no entry none"),
        (Source(secret="json", key="more"), "the secret json has no entry more with a single value"),
        (Source(secret="plain", key="x"), "the secret plain has no entry x"),
    ],
)
def test_what_aws_has_not(source: Source, said: str, aws: Callable[[str], Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        asked(tmp_path, A=source)
    assert said in refused.value.message
    assert refused.value.hint


def test_no_credentials_are_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers credentials
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with pytest.raises(environment.UnreachableError, match="credentials") as refused:
        asked(tmp_path, A=Source(secret="plain"))
    assert "AWS_PROFILE" in refused.value.hint


SITE = """\
environment:
  STAGE: "%(stage)s"
  HERE: "%(release_path)s/x"
  KEY: {env: SHOP_KEY}
  TOKEN: {command: [sh, -c, "echo asked >> asked; cat token"]}
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.configure(SITE)
    (tmp_path / "token").write_text("first line of it\nsecond line of it\n")
    return made


def shown(site: Site, *words: str) -> str:
    done = run(site, *words, SHOP_KEY=SECRET, FAP_TRUST="1")
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_release_carries_them_and_shows_none(site: Site, tmp_path: Path) -> None:
    url = artifact(tmp_path, "1", {"install.sh": b"mkdir venv; cat .env; env; sed -n 2p .env"})
    first = ("release", "-v", "--curl-url", url, "production")
    text = shown(site, "--dry-run", *first[1:]) + shown(site, *first)
    release = site.path / "releases" / site.current()
    code = "import os; print(*(os.environ[name] for name in ('STAGE', 'HERE', 'KEY', 'TOKEN')), sep='|')"
    read = subprocess.run(
        ["sh", "-c", f'set -a; . {release}/.env; exec {sys.executable} -c "$0"', code],
        capture_output=True,
        text=True,
    )
    assert read.stdout == f"production|{release}/x|{SECRET}|first line of it\nsecond line of it\n"
    assert stat.S_IMODE((release / ".env").stat().st_mode) == 0o400, "a release is read-only"
    files = [path for path in (site.path / ".fap").rglob("*") if path.is_file()]
    kept = b"".join(path.read_bytes() for path in files).decode(errors="replace")
    for secret in (SECRET, "battery", "first line", "second line"):
        assert secret not in text
        assert secret not in kept
    assert "TOKEN=***" in text


def test_the_same_values_are_nothing_to_do_and_others_are_a_new_release(site: Site, tmp_path: Path) -> None:
    words = ("--curl-url", artifact(tmp_path, "1"), "--curl-sha256")
    digest = subprocess.run(["sha256sum", tmp_path / "shop-1.tgz"], capture_output=True, text=True).stdout[
        :64
    ]
    shown(site, *words, digest, "production")
    first = site.current()
    assert "nothing to do" in shown(site, "--dry-run", *words, digest, "production")
    (tmp_path / "token").write_text("another one\n")
    shown(site, *words, digest, "production")
    assert site.current() != first
    asked_before = (tmp_path / "asked").read_text()
    assert asked_before == "asked\n" * 3
    (tmp_path / "token").unlink()  # a rollback asks for nothing: it brings the old .env back
    for words in (("status",), ("rollback",)):
        done = run(site, *words, "production")
        assert done.returncode == 0, done.stderr
    assert site.current() == first
    assert "first line of it" in (site.path / "current/.env").read_text()
    assert (tmp_path / "asked").read_text() == asked_before


def test_what_can_not_be_had_ends_it_before_anything_connects(site: Site, tmp_path: Path) -> None:
    done = run(site, "--curl-url", artifact(tmp_path, "1"), "production", FAP_TRUST="1")
    assert done.returncode == 2, done.stderr
    assert "deploy.yml, line 8: KEY: environment variable SHOP_KEY is not set" in done.stderr
    assert not site.path.exists()


@pytest.mark.parametrize(
    ("more", "env", "missing"),
    [
        ("", "", "DATABASE_URL SECRET_KEY"),
        ("environment: {DATABASE_URL: x, OTHER: SECRET_KEY=1}", "", "SECRET_KEY"),
        ("linked_files: [.env]", "export DATABASE_URL=x\nSECRET_KEY_=y\n# SECRET_KEY=\n", "SECRET_KEY"),
        ("environment: {DATABASE_URL: x, SECRET_KEY: ''}", "", ""),
        ("linked_files: [.env]", "DATABASE_URL=a b\n  export SECRET_KEY=\n", ""),
        ("linked_files: [c/env]\nenvironment_file: c/env", "DATABASE_URL=\nSECRET_KEY=", ""),
    ],
)
def test_variables_that_the_artifact_needs_must_be_given(
    more: str, env: str, missing: str, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    site.configure(more)
    if env:
        file = site.path / "shared" / ("c/env" if "c/env" in more else ".env")
        file.parent.mkdir(parents=True)
        file.write_text(env)
    url = artifact(tmp_path, "1", requires_env=("DATABASE_URL", "SECRET_KEY"))
    done = run(site, "--curl-url", url, "production")
    if not missing:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 1, done.stderr
    assert f"does not set: {missing}\n" in done.stderr
    for name in missing.split():
        assert f"  {name}: {{env: {name}}}\n" in done.stderr
    assert site.folders() == []


def test_a_file_of_variables_is_not_written_over_a_shared_one(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.configure("linked_files: [.env]\nenvironment: {A: b}")
    done = run(site, "--curl-url", artifact(tmp_path, "1"), "production")
    assert done.returncode == 2
    assert "line 6: .env is in linked_files, and environment would overwrite it" in done.stderr


def test_a_shared_file_that_everyone_can_read_is_told(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.configure("linked_files: [secrets.toml, open.toml]\nlinked_dirs: [media]")
    shared = site.path / "shared"
    (shared / "media").mkdir(parents=True)
    for name, mode in (("secrets.toml", 0o640), ("open.toml", 0o644)):
        (shared / name).touch()
        (shared / name).chmod(mode)
    done = run(site, "--curl-url", artifact(tmp_path, "1"), "production")
    assert done.returncode == 0, done.stderr
    assert f"everyone on the host can read {shared}/open.toml; if it holds secrets: chmod o= " in done.stderr
    assert "secrets.toml" not in done.stderr

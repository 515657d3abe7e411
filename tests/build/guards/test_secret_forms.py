"""One made-up secret of each form, and forms that are harmless."""

import base64
import bz2
import gzip
import io
import lzma
import tarfile
import time
import zipfile
from pathlib import Path

import pytest

from fapbuild.cache import Cache
from fapbuild.guards import secret_forms, secret_scan
from fapbuild.guards.files import is_secret_name
from fapbuild.guards.secret_rules import FORMS, PUBLIC, TOKENS
from fapbuild.guards.secret_scan import ScannedFile
from tests.parts.from_pattern import text_for
from tests.parts.made_up_secrets import SECRETS

TOKEN = text_for("ghp_[0-9A-Za-z]{36}", "one")
PASSWORD = text_for("[0-9][a-z][A-Z][0-9A-Za-z]{9}", "two")


def kinds(text: str, path: str = "shop/settings.py") -> list[tuple[int, str]]:
    return sorted({*secret_forms.find(text, path)})


def scanned(tmp_path: Path, name: str, content: bytes) -> list[tuple[int, str]]:
    (tmp_path / name).write_bytes(content)
    secrets = secret_scan.scan([ScannedFile(name, tmp_path / name, "one")], Cache(tmp_path / "cache"))
    return [(secret.line, secret.kind) for secret in secrets]


@pytest.mark.parametrize("prefix", [prefix for _, prefix, _ in TOKENS])
def test_a_token_of_each_prefix_is_found(prefix: str) -> None:
    for kind, rest in [(kind, rest) for kind, other, rest in TOKENS if other == prefix]:
        token = prefix + text_for(rest, prefix)
        for text in (
            f"a\nTOKEN = '{token}'\n",
            f"token: {token}",
            f'{{"key":"{token}"}}',
            f"TOKEN={token}\n",
        ):
            assert kind in [found for _, found in kinds(text)], text
        assert kinds(f"x{token}") == [], "it is a part of something longer"
        assert kinds(f"TOKEN = '{token}'  # pragma: allowlist secret\n") == []


@pytest.mark.parametrize("form", [form for _, _, form in FORMS])
def test_a_secret_of_each_other_form_is_found(form: str) -> None:
    kind, word = next((kind, word) for kind, word, other in FORMS if other == form)
    text = text_for(form, form)
    if word not in text:
        text = f"{word}\n{text}"
    assert kind in [found for _, found in kinds(f"# first line\n{text}\n")]


ENCODED = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
LOGINS = {
    "a database": f"DATABASE_URL = 'postgres://shop:{PASSWORD}@db.internal:5432/shop'",
    "a weak password": "url: mysql+pymysql://app:sunshine@10.0.0.7/shop",
    "a strong one for this machine": f"redis://:{PASSWORD}@localhost:6379/0",
    "an escaped one": "amqp://shop:p%2Fw%40rt9X@mq/",
    "a URL in a test": f"https://ann:{PASSWORD}@git.internal/x",
    "a netrc": f"machine git.internal\n  login ann\n  password {PASSWORD}\n",
    "docker": f'{{"auths": {{"r.io": {{"auth": "{ENCODED}"}}}}}}',
    "a header": f"Authorization: Basic {ENCODED}",
}


@pytest.mark.parametrize("case", LOGINS)
def test_a_login_is_found(case: str) -> None:
    assert len(kinds(LOGINS[case], "tests/test_x.py" if "test" in case else "x.yml")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "postgres://user:password@localhost/shop",
        "postgres://user:password@db/shop",
        "postgres://shop:${DB_PASSWORD}@db.internal/shop",
        "https://{user}:{password}@git.internal/",
        "mysql://%s:%s@%s/%s",
        "redis://:my-secret-password1@redis:6379",
        "amqp://guest:guest@rabbit.internal//",
        "postgres://shop:shop@db.internal/shop",
        "https://USER:DB_PASSWORD@host/",
        "http://proxy.internal:3128 ann@example.org",
        "ssh://git@git.internal:22/x",
        "postgres://dev:sunshine@localhost/shop",
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "sk-ant-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "AIza" + "A" * 35,
        "machine example.org login me password your-password",
        "the machine learns; the login and the password are not here",
        "//registry.npmjs.org/:_authToken=${NPM_TOKEN}",
        '{"auths": {"r.io": {"auth": "dXNlcjpwYXNzd29yZA=="}}}',
        "Authorization: Basic {token}",
        "https://discord.com/api/webhooks/ID/TOKEN",
    ],
)
def test_placeholders_are_harmless(text: str) -> None:
    assert kinds(text) == []


def test_a_password_for_this_machine_is_harmless_in_tests_and_manuals() -> None:
    for path in ("docs/tutorial.md", "tests/settings.py", "examples/app.py", "README.md", "shop/test_db.py"):
        assert kinds(f"postgres://dev:{PASSWORD}@localhost/shop", path) == []
        assert kinds(f"postgres://dev:{PASSWORD}@db.example.org/shop", path) == []
        assert kinds("postgres://dev:sunshine@db.internal/shop", path) == []


def zipped(content: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a", content)
    return packed.getvalue()


def tarred(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        member = tarfile.TarInfo("a")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


PACKED = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped, "tgz": tarred}


@pytest.mark.parametrize("kind", PACKED)
def test_packed_text_is_searched(tmp_path: Path, kind: str) -> None:
    text = f"first\nTOKEN = '{TOKEN}'\nURL = 'https://ann:{PASSWORD}@git.internal/'\n".encode()
    expected = [(2, "GitHub Token"), (3, "password in a URL")]
    packed = PACKED[kind](text)  # type: ignore[operator]
    assert scanned(tmp_path, "data.bin", packed) == expected
    cut = packed[:-9]
    assert scanned(tmp_path, "cut.bin", cut) in (expected, []), "a damaged file is no error"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_text_in_other_encodings_is_searched(tmp_path: Path, encoding: str) -> None:
    text = f"grüße\nTOKEN = '{TOKEN}'\n".encode(encoding)
    assert scanned(tmp_path, "notes.txt", text) == [(2, "GitHub Token")]


def test_a_small_file_that_unpacks_to_much_is_left_alone(tmp_path: Path) -> None:
    start = time.process_time()
    assert scanned(tmp_path, "bomb.gz", gzip.compress(bytes(300_000_000))) == []
    assert scanned(tmp_path, "bomb.zip", zipped(bytes(100_000_000))) == []
    assert time.process_time() - start < 20


@pytest.mark.parametrize("kind", SECRETS)
def test_what_detect_secrets_knows_keeps_its_name(tmp_path: Path, kind: str) -> None:
    assert scanned(tmp_path, "a.py", f"X = '{SECRETS[kind]}'\n".encode()) == [(1, kind)]


def test_no_password_takes_long() -> None:
    start = time.process_time()
    for password in ("pass" * 49 + "~", "1" * 199 + "~", "ab" * 99 + "~", "-" * 199):
        kinds(f"postgres://user:{password}@db.internal/x\n" * 200)
    kinds("://" + "a" * 1_000_000)
    kinds("machine " * 100_000 + "password")
    assert time.process_time() - start < 5


def test_names_of_files_with_secrets() -> None:
    secret = (
        *(
            ".envrc",
            "prod.env",
            "conf/.env.production",
            "_netrc",
            "terraform.tfstate",
            "terraform.tfstate.backup",
        ),
        *("kubeconfig", "ci/admin.kubeconfig", "home/.aws/credentials", ".docker/config.json", "deploy.ppk"),
        *("service.keytab", "etc/ssh_host_ed25519_key", "client.ovpn", ".dockercfg"),
    )
    assert [name for name in secret if not is_secret_name(name)] == []
    harmless = (
        *(
            ".env.example",
            "example.env",
            "conf/prod.env.sample",
            ".envrc.template",
            "environment.py",
            "docker/config.json",
        ),
        *("docker/config.json", "main.tf", "credentials.py", "kube/config.py", "venv.txt", "keyboard.py"),
    )
    assert [name for name in harmless if is_secret_name(name)] == []


def test_letters_of_a_picture_are_no_key(tmp_path: Path) -> None:
    key = text_for("AKIA[0-9A-Z]{16}", "one")
    font = "ab" * 500 + key + "/EAA" + text_for("[0-9A-Za-z]{100}", "two") + "/" + "cd" * 500
    assert scanned(tmp_path, "font.js", f"var font = '{font}';\n".encode()) == []
    both = f"var font = '{font}';\nvar key = '{key}';\n"
    assert [line for line, _ in scanned(tmp_path, "both.js", both.encode())]


def test_a_setting_of_a_program_is_no_login() -> None:
    assert kinds('npmAuthToken:{description:"a token",type:"SECRET"}', ".yarn/releases/yarn.cjs") == []


def test_a_key_that_its_owner_publishes() -> None:
    assert not [kind for key in PUBLIC for kind in kinds(f"KEY = '{key}'")]
    assert all(kinds(f"KEY = '{key[:-1]}'") for key in PUBLIC)

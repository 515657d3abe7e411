"""Signatures that are judged without ssh-keygen are judged as ssh-keygen judges them."""

import base64
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifact_store.core.errors import FapError
from artifact_store.trust import ssh_keygen, sshsig
from artifact_store.trust.allowed_signers import AllowedSigners, Verdict
from artifact_store.trust.ssh_keygen import _allowed_signers, _ask

BEGIN, END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"
MOMENT = "20261122185409"
TEXTS = tuple(f'{{"app":"shop","number":{number}}}'.encode() for number in range(3))
KINDS = {
    "ed": ("ed25519",),
    "ec256": ("ecdsa", "-b", "256"),
    "ec384": ("ecdsa", "-b", "384"),
    "ec521": ("ecdsa", "-b", "521"),
    "rsa": ("rsa", "-b", "2048"),
}
OPTIONS = (
    "",
    'valid-after="20260101",valid-before="20270101"',
    'namespaces="fapkit-stage",valid-before="202611221854Z"',
    'namespaces="fapkit-artifact"',
    "cert-authority",
)
MOMENTS = (
    "09990101000000",
    "19691231235959",
    "19700101000000",
    "20251231235959",
    "20260101000000",
    "20261122185359",
    "20261122185400",
    "20261122185401",
    MOMENT,
    "20270101000000",
    "20270101000001",
    "99991231235959",
)


@dataclass(frozen=True)
class Keys:
    """A private key of each kind, and of one with a certificate."""

    folder: Path

    @cache  # noqa: B019
    def public(self, kind: str) -> str:
        return (self.folder / f"{kind}.pub").read_text().strip()

    @cache  # noqa: B019
    def signature(self, kind: str, text: bytes, namespace: str) -> str:
        return ssh_keygen.sign(text, namespace, self.folder / kind)

    def file(self, options: str, kinds: tuple[str, ...]) -> bytes:
        return "".join(f"{kind}@example.com {options} {self.public(kind)}\n" for kind in kinds).encode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    for name, kind in KINDS.items():
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "", "-f", folder / name, "-t", *kind], check=True)
    return Keys(folder)


def asking(content: bytes) -> AllowedSigners:
    """Allowed signers of which nothing is known yet."""
    return AllowedSigners(content, partial(_ask, content))


def cold(content: bytes, text: bytes, made: str, namespace: str, moment: str) -> Verdict:
    """What ssh-keygen alone says."""
    return _ask(content, text, made, namespace, moment)


def armored(blob: bytes) -> str:
    text = base64.b64encode(blob).decode()
    return BEGIN + "".join(f"{text[at : at + 70]}\n" for at in range(0, len(text), 70)) + END


def blob(made: str) -> bytes:
    return base64.b64decode(made.removeprefix(BEGIN).removesuffix(END))


def flipped(made: str, place: int, bit: int) -> str:
    data = bytearray(blob(made))
    data[place % len(data)] ^= 1 << bit
    return armored(bytes(data))


CHANGES: tuple[Callable[[str, int, int], str], ...] = (
    lambda made, place, bit: made,
    flipped,
    flipped,
    lambda made, place, bit: armored(blob(made)[: place % 400]),
    lambda made, place, bit: armored(blob(made) + bytes(bit + 1)),
    lambda made, place, bit: made.replace("\n", "\r\n") if bit else made.rstrip(),
    lambda made, place, bit: made[: place % len(made)] + "\n" + made[place % len(made) :],
    lambda made, place, bit: made + "junk",
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None
)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    options=st.sampled_from(OPTIONS),
    made_of=st.sampled_from(TEXTS),
    text=st.sampled_from(TEXTS),
    made_for=st.sampled_from(["fapkit-stage", "fapkit-artifact"]),
    namespace=st.sampled_from(["fapkit-stage", "fapkit-artifact"]),
    warmed=st.sampled_from(MOMENTS),
    moment=st.sampled_from(MOMENTS),
    change=st.sampled_from(CHANGES),
    place=st.integers(0, 2000),
    bit=st.integers(0, 7),
)
def test_the_verdict_is_that_of_ssh_keygen(
    keys: Keys,
    kind: str,
    options: str,
    made_of: bytes,
    text: bytes,
    made_for: str,
    namespace: str,
    warmed: str,
    moment: str,
    change: Callable[[str, int, int], str],
    place: int,
    bit: int,
) -> None:
    content = keys.file(options, (kind,))
    allowed = asking(content)
    for each in (warmed, moment, MOMENT):  # what ssh-keygen said of good signatures is known then
        allowed.judge(TEXTS[0], keys.signature(kind, TEXTS[0], namespace), namespace, each)
    made = change(keys.signature(kind, made_of, made_for), place, bit)
    assert (
        allowed.judge(text, made, namespace, moment).name == cold(content, text, made, namespace, moment).name
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_signature_of_a_key_needs_no_ssh_keygen(
    keys: Keys, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, other = (keys.signature(kind, text, ssh_keygen.STAGE) for text in TEXTS)
    allowed = asking(keys.file("", (kind,)))
    by = Verdict(f"{kind}@example.com")
    assert allowed.judge(TEXTS[0], first, ssh_keygen.STAGE, MOMENT) == by
    monkeypatch.setenv("PATH", "")
    assert allowed.judge(TEXTS[1], second, ssh_keygen.STAGE, "20200101000000") == by
    with pytest.raises(FapError, match="ssh-keygen can't be run"):  # it is left to say what is wrong
        allowed.judge(TEXTS[1], other, ssh_keygen.STAGE, MOMENT)


@pytest.mark.parametrize("kind", KINDS)
def test_each_bit_of_a_signature_counts(keys: Keys, kind: str) -> None:
    made = keys.signature(kind, TEXTS[0], ssh_keygen.STAGE)
    good = sshsig.read(made)
    assert good
    assert good.is_of(TEXTS[0])
    assert not good.is_of(TEXTS[1])
    for place in range(len(blob(made))):
        changed = sshsig.read(flipped(made, place, place % 8))
        assert (
            changed is None
            or (changed.key, changed.namespace) != (good.key, good.namespace)
            or not changed.is_of(TEXTS[0])
        )


def test_a_key_that_nobody_allowed_is_asked_about_once(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = asking(keys.file("", ("rsa",)))
    first, second, _ = (keys.signature("ed", text, ssh_keygen.STAGE) for text in TEXTS)
    refused = allowed.judge(TEXTS[0], first, ssh_keygen.STAGE, MOMENT)
    assert "No principal matched" in refused.problem
    monkeypatch.setenv("PATH", "")
    assert allowed.judge(TEXTS[1], second, ssh_keygen.STAGE, MOMENT) == refused


def test_a_certificate_is_left_to_ssh_keygen(keys: Keys) -> None:
    folder = keys.folder
    subprocess.run(
        ["ssh-keygen", "-q", "-s", folder / "rsa", "-I", "ci", "-n", "ci", folder / "ed.pub"], check=True
    )
    text = TEXTS[0]
    made = ssh_keygen.sign(text, ssh_keygen.STAGE, folder / "ed-cert.pub")
    (folder / "ed-cert.pub").unlink()
    content = keys.file("cert-authority", ("rsa",)).replace(b"rsa@example.com", b"*")
    assert sshsig.read(made) is None
    alone = cold(content, text, made, ssh_keygen.STAGE, MOMENT)
    assert alone.name == "ci"
    assert asking(content).judge(text, made, ssh_keygen.STAGE, MOMENT) == alone


def test_a_changed_file_is_read_again(keys: Keys) -> None:
    first = _allowed_signers(keys.file("", ("ed",)))
    assert _allowed_signers(keys.file("", ("ed",))) is first
    assert _allowed_signers(keys.file("", ("rsa",))) is not first

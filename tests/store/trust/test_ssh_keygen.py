"""Signatures by the real ssh-keygen: which count, and which don't."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from artifact_store.core.errors import FapError, UsageError, VerificationError
from artifact_store.records.envelope import Envelope
from artifact_store.trust import ssh_keygen
from tests.parts.signers import Signers

AT = datetime(2026, 11, 22, 18, 54, 9, tzinfo=UTC)
TEXT = b'{"app":"shop"}'


@pytest.fixture
def signers(tmp_path: Path) -> Signers:
    return Signers(tmp_path)


def test_a_signature_names_its_signer(signers: Signers) -> None:
    made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.allow("ann"))
    assert ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT) == "ann@example.com"


@pytest.mark.parametrize("place", range(len(TEXT)))
def test_a_statement_changed_by_one_byte(signers: Signers, place: int) -> None:
    made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.allow("ann"))
    changed = TEXT[:place] + bytes([TEXT[place] ^ 1]) + TEXT[place + 1 :]
    with pytest.raises(VerificationError, match="it was made for other bytes"):
        ssh_keygen.signer(changed, made, ssh_keygen.STAGE, signers.path, AT)


def test_an_unknown_key(signers: Signers) -> None:
    signers.allow("ann")
    made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.key("eve"))
    with pytest.raises(VerificationError, match="its key is not in"):
        ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT)


def test_a_key_counts_between_its_dates_in_utc(signers: Signers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    key = signers.allow("ann", 'valid-after="20261122185409",valid-before="20261122195409"')
    made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, key)
    assert ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT) == "ann@example.com"
    with pytest.raises(VerificationError, match="its key had expired"):
        ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT + timedelta(hours=2))
    with pytest.raises(VerificationError, match="its key was not valid yet"):
        ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT - timedelta(seconds=1))


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_statement_of_an_impossible_time(signers: Signers, text: str) -> None:
    made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.allow("ann"))
    with pytest.raises(VerificationError, match="is no time"):
        ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, datetime.fromisoformat(text))


def test_a_renewed_key_counts_by_its_second_line(signers: Signers) -> None:
    signers.allow("ann", 'valid-before="20260101"')
    made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.allow("ann"))
    assert ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT) == "ann@example.com"


def test_a_signature_for_one_purpose_is_none_for_another(signers: Signers) -> None:
    made = ssh_keygen.sign(TEXT, ssh_keygen.ARTIFACT, signers.allow("ann"))
    with pytest.raises(VerificationError, match="for another purpose"):
        ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT)


def test_a_key_that_is_allowed_one_purpose_only(signers: Signers) -> None:
    key = signers.allow("ci", 'namespaces="fapkit-artifact"')
    assert ssh_keygen.sign_as_allowed(TEXT, ssh_keygen.ARTIFACT, key, signers.path, AT)[1] == "ci@example.com"
    with pytest.raises(
        VerificationError, match=r"readers would not accept .*/ci: .*another purpose"
    ) as error:
        ssh_keygen.sign_as_allowed(TEXT, ssh_keygen.STAGE, key, signers.path, AT)
    assert 'namespaces="fapkit-stage"' in error.value.hint


@pytest.mark.parametrize(
    "signature",
    ["", "junk", "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", "x" * 100_000],
)
def test_what_is_no_signature(signers: Signers, signature: str) -> None:
    signers.allow("ann")
    with pytest.raises(VerificationError):
        ssh_keygen.signer(TEXT, signature, ssh_keygen.STAGE, signers.path, AT)


def test_good_signatures_among_bad_ones_each_signer_once(signers: Signers) -> None:
    ann, second, bob = signers.allow("ann"), signers.allow("ann", key="ann2"), signers.allow("bob")
    by = (ssh_keygen.sign(TEXT, ssh_keygen.STAGE, key) for key in (ann, second, signers.key("eve"), bob))
    sealed = Envelope(statement=msgspec.Raw(TEXT), signatures=("junk", *by))
    found = ssh_keygen.signed_by(sealed, ssh_keygen.STAGE, signers.path, AT)
    assert found == ("ann@example.com", "bob@example.com")


def test_a_thousand_signatures_are_not_all_tried(signers: Signers) -> None:
    good = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.allow("ann"))
    sealed = Envelope(statement=msgspec.Raw(TEXT), signatures=("junk",) * 1000 + (good,))
    assert ssh_keygen.signed_by(sealed, ssh_keygen.STAGE, signers.path, AT) == ()


def test_a_key_that_cannot_sign(signers: Signers, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match=r"the key .*/nokey does not exist"):
        ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.path.with_name("nokey"))
    with pytest.raises(UsageError, match="allowed_signers can't sign") as error:
        ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.path)
    assert "FAP_SIGNING_KEY" in error.value.hint
    assert "allowed_signers" in capfd.readouterr().err


def test_a_key_with_a_passphrase_and_nobody_to_ask(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", key], check=True)
    program = (
        "import sys, pathlib\nfrom artifact_store.trust import ssh_keygen\n"
        "try: ssh_keygen.sign(b'', 'x', pathlib.Path(sys.argv[1]))\n"
        "except ssh_keygen.UsageError as error: sys.exit(error.message)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, key],
        capture_output=True,
        text=True,
        start_new_session=True,  # without a terminal
        timeout=60,
    )
    assert done.returncode == 1
    assert f"{key} can't sign" in done.stderr


def test_the_text_of_a_key_is_neither_passed_on_nor_shown(
    signers: Signers, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = signers.key("ann").read_text()
    monkeypatch.setenv("PATH", "")  # nothing could be started
    with pytest.raises(UsageError, match="not as text") as error:
        ssh_keygen.sign(TEXT, ssh_keygen.STAGE, Path(text))
    assert text.splitlines()[1] not in error.value.message + error.value.hint


def test_without_the_file_or_the_program(signers: Signers, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.allow("ann"))
    with pytest.raises(UsageError, match="nowhere does not exist"):
        ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, Path("nowhere"), AT)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FapError) as error:
        ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT)
    assert "openssh-client" in error.value.hint


def test_a_line_that_is_broken_stands_in_nobodys_way(signers: Signers) -> None:
    signers.path.write_text("# people\n\nthis is no line\n")
    made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, signers.allow("ann"))
    assert ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT) == "ann@example.com"


def test_a_key_in_the_agent_signs_by_its_public_half(
    signers: Signers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = signers.allow("ann")
    socket = tmp_path / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        while not socket.exists():
            assert agent.poll() is None
            time.sleep(0.01)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        subprocess.run(["ssh-add", "-q", key], check=True)
        key.unlink()
        made = ssh_keygen.sign(TEXT, ssh_keygen.STAGE, key.with_name("ann.pub"))
    finally:
        agent.kill()
        agent.wait()
    assert ssh_keygen.signer(TEXT, made, ssh_keygen.STAGE, signers.path, AT) == "ann@example.com"

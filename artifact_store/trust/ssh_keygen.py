"""OpenSSH signatures, made and checked by `ssh-keygen -Y`.

A signature is made for a namespace, so what was signed for one purpose is worth nothing for another, and an
allowed-signers file can limit a key to some (`namespaces="fapkit-artifact"`). The formats: PROTOCOL.sshsig of
OpenSSH, and ALLOWED SIGNERS in ssh-keygen(1).
"""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from artifact_store.core.errors import FapError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records.envelope import Envelope

ARTIFACT = "fapkit-artifact"
STAGE = "fapkit-stage"
APPROVAL = "fapkit-approval"

_MOST_SIGNATURES = 16
_LONGEST_SIGNATURE = 16_384


def sign(statement: bytes, namespace: str, key: Path) -> str:
    """A signature of `statement` with `key`: a private key, or a public one whose other half ssh-agent holds.

    ssh-keygen asks for a passphrase on the terminal. Raises UsageError if the key can't sign.
    """
    _check_key(key)
    try:
        done = subprocess.run(
            ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace],
            input=statement,
            stdout=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        raise _no_ssh_keygen(error) from error
    if done.returncode:
        raise UsageError(
            f"{key} can't sign: ssh-keygen said why above",
            hint="name another with --key or FAP_SIGNING_KEY; ssh-add -l lists those of ssh-agent",
        )
    return done.stdout.decode()


def sign_as_allowed(
    statement: bytes, namespace: str, key: Path, signers: Path | None, at: datetime
) -> tuple[str, str]:
    """A signature that readers will accept, and whose it is by `signers` (empty without them).

    Raises as `sign`, and VerificationError if `signers` don't allow the key to sign this.
    """
    signature = sign(statement, namespace, key)
    if signers is None:
        return signature, ""
    try:
        return signature, signer(statement, signature, namespace, signers, at)
    except VerificationError as error:
        raise VerificationError(
            f"readers would not accept {key}: {error.message}",
            hint=f'{signers} needs a line: NAME namespaces="{namespace}" and the public key',
        ) from error


def signer(statement: bytes, signature: str, namespace: str, signers: Path, at: datetime) -> str:
    """Who of the allowed-signers file `signers` signed exactly these bytes: the first name on the key's line.

    The key must have been valid at the time `at`, which the statement names. Dates in the file without a `Z`
    are read as UTC. Raises VerificationError, saying why, if nobody did; UsageError if there is no such file.
    """
    if not signers.is_file():
        raise UsageError(f"there is no file {signers}", hint="name the allowed signers with --signers")
    if len(signature) > _LONGEST_SIGNATURE:
        raise VerificationError("the signature is too long for one", hint=Hint("{fapstore} verify APP"))
    moment = f"-Overify-time={at.astimezone(UTC):%Y%m%d%H%M%S}"
    with TemporaryDirectory() as folder:
        file = Path(folder, "signature")
        file.write_text(signature)
        given = ["-f", str(signers), "-s", str(file), moment]
        found = _verify(["find-principals", *given], b"")
        who = found.stdout.decode(errors="replace").partition("\n")[0]
        if found.returncode == 0 and who:
            found = _verify(["verify", *given, "-I", who, "-n", namespace], statement)
            if found.returncode == 0:
                return who
    raise VerificationError(_why_not(found.stderr.decode(errors="replace"), signers))


def signed_by(envelope: Envelope, namespace: str, signers: Path, at: datetime) -> tuple[str, ...]:
    """Who of `signers` signed the envelope's statement, each once; empty if no signature of it is valid."""
    found: dict[str, None] = {}
    for signature in envelope.signatures[:_MOST_SIGNATURES]:
        try:
            found[signer(bytes(envelope.statement), signature, namespace, signers, at)] = None
        except VerificationError:
            continue
    return tuple(found)


def _check_key(key: Path) -> None:
    """Raise UsageError unless `key` names a file; a key itself must not become an argument, nor be shown."""
    if "PRIVATE KEY" in str(key) or "\n" in str(key):
        raise UsageError(
            "the signing key is named by its text, not by its file",
            hint='(umask 077; printf "%s\\n" "$KEY" > key); then --key key, or FAP_SIGNING_KEY=key',
        )
    if not key.is_file():
        raise UsageError(
            f"there is no key {key}",
            hint="name a private key, or the .pub of one in ssh-agent, with --key or FAP_SIGNING_KEY",
        )


def _verify(arguments: list[str], statement: bytes) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", *arguments],
            input=statement,
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
        )
    except OSError as error:
        raise _no_ssh_keygen(error) from error
    except subprocess.TimeoutExpired as error:
        raise VerificationError("ssh-keygen took more than 60 s to check a signature") from error


def _why_not(said: str, signers: Path) -> str:
    for words, meaning in (
        ("key has expired", f"its key had expired, says {signers}"),
        ("key is not yet valid", f"its key was not valid yet, says {signers}"),
        ("incorrect signature", "it signs other bytes"),
        ("namespace", f"its key, or it, is for another purpose, says {signers}"),
        ("parse signature", "it is no OpenSSH signature"),
    ):
        if words in said:
            return f"not a valid signature: {meaning}"
    return f"not a valid signature: {signers} has no such key"


def _no_ssh_keygen(error: OSError) -> FapError:
    return FapError(f"ssh-keygen can't be run: {error.strerror}", hint="apt-get install openssh-client")

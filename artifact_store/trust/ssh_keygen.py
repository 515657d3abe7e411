"""OpenSSH signatures, made and checked by `ssh-keygen -Y`.

A signature is made for a namespace: it is not valid for another purpose, and an allowed-signers file can
limit a key to some namespaces (`namespaces="fapkit-artifact"`). The formats: PROTOCOL.sshsig of OpenSSH, and
ALLOWED SIGNERS in ssh-keygen(1).
"""

import os
import subprocess
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

from artifact_store.core.errors import FapError, UsageError, VerificationError
from artifact_store.core.hints import Hint
from artifact_store.records.envelope import Envelope
from artifact_store.trust.allowed_signers import AllowedSigners, Verdict

ARTIFACT = "fapkit-artifact"
STAGE = "fapkit-stage"
APPROVAL = "fapkit-approval"

_MOST_SIGNATURES = 16
_LONGEST_SIGNATURE = 16_384


def sign(statement: bytes, namespace: str, key: Path) -> str:
    """Sign `statement` with `key`: a private key, or the public key of one in ssh-agent.

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
            f"{key} can't sign; see the message of ssh-keygen above",
            hint="use another key with --key or FAP_SIGNING_KEY; ssh-add -l lists the keys in ssh-agent",
        )
    return done.stdout.decode()


def sign_as_allowed(
    statement: bytes, namespace: str, key: Path, signers: Path | None, at: datetime
) -> tuple[str, str]:
    """Sign, and check that readers will accept it; return the signature and the signer's name in `signers`.

    The name is empty without `signers`. Raises as `sign`, and VerificationError if `signers` do not allow the
    key to sign this.
    """
    signature = sign(statement, namespace, key)
    if signers is None:
        return signature, ""
    try:
        return signature, signer(statement, signature, namespace, signers, at)
    except VerificationError as error:
        raise VerificationError(
            f"readers would not accept {key}: {error.message}",
            hint=f'add a line to {signers}: NAME namespaces="{namespace}" PUBLIC-KEY',
        ) from error


def signer(statement: bytes, signature: str, namespace: str, signers: Path, at: datetime) -> str:
    """The name of the signer of exactly these bytes: the first one on the key's line in the file `signers`.

    The key must have been valid at the time `at`, which the statement names. Dates in the file without a `Z`
    are UTC. Raises VerificationError with the reason if the signature is not valid, and UsageError if there
    is no such file.
    """
    if not signers.is_file():
        raise UsageError(f"{signers} does not exist", hint="name the file of allowed signers with --signers")
    if len(signature) > _LONGEST_SIGNATURE:
        raise VerificationError("the signature is too long to be valid", hint=Hint("{fapstore} verify APP"))
    try:
        utc = at.astimezone(UTC)
    except OverflowError as error:
        raise VerificationError(f"not a valid signature: {at} is no time") from error
    allowed = _allowed_signers(signers.read_bytes())
    verdict = allowed.judge(statement, signature, namespace, f"{utc.year:04}{utc:%m%d%H%M%S}")
    if verdict.problem:
        raise VerificationError(_problem(verdict.problem, signers))
    return verdict.name


def signed_by(envelope: Envelope, namespace: str, signers: Path, at: datetime) -> tuple[str, ...]:
    """The allowed signers of an envelope's statement, each once; empty if no signature is valid."""
    names: dict[str, None] = {}
    for signature in envelope.signatures[:_MOST_SIGNATURES]:
        try:
            names[signer(bytes(envelope.statement), signature, namespace, signers, at)] = None
        except VerificationError:
            continue
    return tuple(names)


def _check_key(key: Path) -> None:
    """Raise UsageError unless `key` names a file: the key itself must never be an argument or be printed."""
    if "PRIVATE KEY" in str(key) or "\n" in str(key):
        raise UsageError(
            "the signing key must be given as a file, not as text",
            hint='write it to a file: (umask 077; printf "%s\\n" "$KEY" > key), then use --key key',
        )
    if not key.is_file():
        raise UsageError(
            f"the key {key} does not exist",
            hint="give a private key, or the .pub of a key in ssh-agent, with --key or FAP_SIGNING_KEY",
        )


@lru_cache(maxsize=4)
def _allowed_signers(content: bytes) -> AllowedSigners:
    """The allowed signers of a file with this content; what is known of its keys is kept."""
    return AllowedSigners(content, partial(_ask, content))


def _ask(content: bytes, statement: bytes, signature: str, namespace: str, moment: str) -> Verdict:
    """Let ssh-keygen judge a signature by allowed signers."""
    with TemporaryDirectory() as folder:
        signers, made = Path(folder, "signers"), Path(folder, "signature")
        signers.write_bytes(content)
        made.write_text(signature)
        options = ["-f", str(signers), "-s", str(made), f"-Overify-time={moment}"]
        result = _verify(["find-principals", *options], b"")
        name = result.stdout.decode(errors="replace").partition("\n")[0]
        if result.returncode == 0 and name:
            result = _verify(["verify", *options, "-I", name, "-n", namespace], statement)
            if result.returncode == 0:
                return Verdict(name)
    return Verdict(problem=result.stderr.decode(errors="replace") or "no reason")


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


def _problem(output: str, signers: Path) -> str:
    for words, meaning in (
        ("key has expired", f"its key had expired, according to {signers}"),
        ("key is not yet valid", f"its key was not valid yet, according to {signers}"),
        ("incorrect signature", "it was made for other bytes"),
        ("namespace", f"it or its key is for another purpose, according to {signers}"),
        ("parse signature", "it is not an OpenSSH signature"),
    ):
        if words in output:
            return f"not a valid signature: {meaning}"
    return f"not a valid signature: its key is not in {signers}"


def _no_ssh_keygen(error: OSError) -> FapError:
    return FapError(f"ssh-keygen can't be run: {error.strerror}", hint="apt-get install openssh-client")

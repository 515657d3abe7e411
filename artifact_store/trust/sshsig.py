"""OpenSSH signatures, read and checked in this process.

What is read here is the form that ssh-keygen writes, with the plain keys ed25519, ecdsa and rsa. All else is
left to ssh-keygen. The format: PROTOCOL.sshsig of OpenSSH; keys and their signatures: RFC 4253 section 6.6,
RFC 5656 section 3.1, RFC 8332 section 3 and RFC 8709.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

_MAGIC = b"SSHSIG"
_VERSION = struct.pack(">I", 1)
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"
_LINE = 70
_CURVES = {
    b"ecdsa-sha2-nistp256": "sha256",
    b"ecdsa-sha2-nistp384": "sha384",
    b"ecdsa-sha2-nistp521": "sha512",
}
_RSA = {b"rsa-sha2-256": "sha256", b"rsa-sha2-512": "sha512"}
_HASHES = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


@dataclass(frozen=True)
class SshSignature:
    """The parts of a signature."""

    key: bytes
    """The public key as in a line of allowed signers, without base64."""
    namespace: bytes
    hash_name: bytes
    kind: bytes
    """The algorithm of the signature."""
    raw: bytes

    def is_of(self, statement: bytes) -> bool:
        """Whether its key made it of exactly these bytes. Says nothing of who may use the key."""
        hashed = _HASHES[self.hash_name](statement).digest()
        signed = _MAGIC + b"".join(map(_string, (self.namespace, b"", self.hash_name, hashed)))
        return _verifies(self.key, self.kind, self.raw, signed)


def read(armored: str) -> SshSignature | None:
    """Read a signature; None if it is not in the form that ssh-keygen writes, or of another kind."""
    try:
        blob = base64.b64decode(armored.removeprefix(_BEGIN).removesuffix(_END))
    except (binascii.Error, ValueError):
        return None
    if _armored(blob) != armored or not blob.startswith(_MAGIC + _VERSION):
        return None
    parts = _strings(blob[len(_MAGIC + _VERSION) :])
    if len(parts) != 5 or parts[2] or parts[3] not in _HASHES:
        return None
    key, namespace, _, hash_name, made = parts
    kind, *raw = _strings(made) or [b""]
    if len(raw) != 1 or not _key_kind(kind) or not key.startswith(_string(_key_kind(kind))):
        return None
    return SshSignature(key, namespace, hash_name, kind, raw[0])


def _key_kind(kind: bytes) -> bytes:
    """The kind of key that makes signatures of a kind; empty if it is left to ssh-keygen."""
    if kind in _RSA:
        return b"ssh-rsa"
    return kind if kind in _CURVES or kind == b"ssh-ed25519" else b""


def _verifies(key: bytes, kind: bytes, raw: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    by_name = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}
    try:
        public = load_ssh_public_key(_key_kind(kind) + b" " + base64.b64encode(key))
        match public:
            case ed25519.Ed25519PublicKey():
                public.verify(raw, signed)
            case ec.EllipticCurvePublicKey():
                r, s = (int.from_bytes(number, signed=True) for number in _strings(raw))
                public.verify(encode_dss_signature(r, s), signed, ec.ECDSA(by_name[_CURVES[kind]]))
            case rsa.RSAPublicKey():
                public.verify(raw, signed, padding.PKCS1v15(), by_name[_RSA[kind]])
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def _armored(blob: bytes) -> str:
    text = base64.b64encode(blob).decode()
    return _BEGIN + "".join(f"{text[at : at + _LINE]}\n" for at in range(0, len(text), _LINE)) + _END


def _string(content: bytes) -> bytes:
    """A string of RFC 4251 section 5: its length, and its bytes."""
    return struct.pack(">I", len(content)) + content


def _strings(data: bytes) -> list[bytes]:
    """The strings that make up `data`; empty if it is cut or has more."""
    strings = []
    while data:
        if len(data) < 4 or len(data) < 4 + (size := int.from_bytes(data[:4])):
            return []
        strings.append(data[4 : 4 + size])
        data = data[4 + size :]
    return strings

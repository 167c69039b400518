"""Keys: Ed25519 for acts, witnesses and logs; P-256 for release signatures. One key, one purpose.

A public key is written `ed25519:<64 hex>` (the raw key) or `p256:<130 hex>` (the uncompressed point): lower-case
hexadecimal has one spelling, so a key cannot change unseen. Private keys are PKCS#8 PEM files, mode 0600, with or
without a passphrase. P-256 because OpenSSF model signing knows no Ed25519 (OMS v1.0, algorithm registry).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from foedus.core.errors import CallerError, IdentityError
from foedus.core.files import read_bytes, write_atomic

__all__ = [
    "PUBLIC_KEY",
    "PURPOSES",
    "PrivateKey",
    "Purpose",
    "generate",
    "key_id",
    "load_private",
    "public_key",
    "public_pem",
    "save_private",
    "simulated_key",
    "verify",
]

Purpose = Literal["act", "witness", "log", "release"]
PURPOSES: tuple[Purpose, ...] = ("act", "witness", "log", "release")
PUBLIC_KEY = re.compile(r"ed25519:[0-9a-f]{64}|p256:04[0-9a-f]{128}")


@dataclass(frozen=True, slots=True, repr=False)
class PrivateKey:
    """A private key; `public` is its public half as text. Its repr never shows the key."""

    key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey
    public: str

    def sign(self, data: bytes) -> bytes:
        """Ed25519: 64 bytes. P-256: ECDSA with SHA-256, DER."""
        if isinstance(self.key, Ed25519PrivateKey):
            return self.key.sign(data)
        return self.key.sign(data, ec.ECDSA(hashes.SHA256()))

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public!r})"


def _wrap(key: object) -> PrivateKey:
    if isinstance(key, Ed25519PrivateKey):
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return PrivateKey(key, "ed25519:" + raw.hex())
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        return PrivateKey(key, "p256:" + point.hex())
    raise IdentityError("keys.unsupported", got=type(key).__name__)


def generate(purpose: Purpose) -> PrivateKey:
    """A fresh key of the kind that the purpose needs."""
    return _wrap(ec.generate_private_key(ec.SECP256R1()) if purpose == "release" else Ed25519PrivateKey.generate())


def from_seed(seed: bytes) -> PrivateKey:
    """An Ed25519 key from 32 bytes: for test vectors and simulated members only."""
    return _wrap(Ed25519PrivateKey.from_private_bytes(seed))


def simulated_key(seed: str, party: str, purpose: Purpose) -> PrivateKey:
    """The key of a simulated party: anyone who knows the public seed can make it, so it proves nothing."""
    return from_seed(sha256(f"foedus simulated key v1\n{seed}\n{party}\n{purpose}\n".encode()).digest())


def save_private(path: Path, key: PrivateKey, *, passphrase: str | None = None) -> None:
    """Write a PKCS#8 PEM file that only its owner can read."""
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    )
    pem = key.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    write_atomic(path, pem, mode=0o600)


def load_private(path: Path, *, passphrase: str | None = None) -> PrivateKey:
    """Read a PKCS#8 PEM file.

    Raises:
        CallerError: `files.missing`.
        IdentityError: `keys.readable-by-others`, `keys.passphrase-needed`, `keys.passphrase-wrong`,
            `keys.unreadable` or `keys.unsupported`.
    """
    data = read_bytes(path, limit_bytes=1 << 16)
    if path.stat().st_mode & 0o077:
        raise IdentityError("keys.readable-by-others", path=str(path), mode=oct(path.stat().st_mode & 0o777))
    encrypted = b"ENCRYPTED" in data
    if encrypted and not passphrase:
        raise IdentityError("keys.passphrase-needed", path=str(path))
    try:
        secret = passphrase.encode() if encrypted and passphrase else None
        return _wrap(serialization.load_pem_private_key(data, password=secret))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        code = "keys.passphrase-wrong" if encrypted else "keys.unreadable"
        raise IdentityError(code, path=str(path)) from error


@lru_cache(maxsize=4096)
def public_key(text: str) -> Ed25519PublicKey | ec.EllipticCurvePublicKey:
    """The public key that a text names; CallerError `keys.bad-public` for any other text."""
    if not PUBLIC_KEY.fullmatch(text):
        raise CallerError("keys.bad-public", got=text[:100])
    kind, _, digits = text.partition(":")
    try:
        if kind == "ed25519":
            return Ed25519PublicKey.from_public_bytes(bytes.fromhex(digits))
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), bytes.fromhex(digits))
    except ValueError as error:
        raise CallerError("keys.bad-public", got=text[:100]) from error


def public_pem(text: str) -> bytes:
    """The public key as SPKI PEM, as other tools read it."""
    return public_key(text).public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=4096)
def key_id(text: str) -> str:
    """The name of a public key in an envelope: hexadecimal SHA-256 of its DER SPKI."""
    der = public_key(text).public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).hexdigest()


def verify(text: str, signature: bytes, data: bytes) -> bool:
    """Whether `signature` over `data` is by the public key that the text names."""
    key = public_key(text)
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, data)
        else:
            key.verify(signature, data, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True

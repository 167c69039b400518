"""DSSE v1 envelopes: a payload, its type, and signatures over both.

    https://github.com/secure-systems-lab/dsse/blob/master/protocol.md

An envelope's bytes are canonical JSON; base64 must be the canonical spelling (the last character of a lazy decoder can
change unseen). What is signed is `PAE(type, payload)`, so one type's signature never passes for another's.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from foedus.core import canonical
from foedus.core.errors import CallerError, VerifyError
from foedus.core.keys import PrivateKey, key_id, verify

__all__ = ["Envelope", "Signature", "b64", "pae", "seal", "unb64"]


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def b64(data: bytes) -> str:
    """Standard base64 with padding."""
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    """The bytes of canonical base64; CallerError `envelope.bad-base64` for any other spelling."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise CallerError("envelope.bad-base64", got=text[:60]) from error
    if b64(data) != text:
        raise CallerError("envelope.bad-base64", got=text[-60:])
    return data


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed (`key_id` of the public key) and the signature's bytes."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload of a type, with signatures."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON of the envelope."""
        return canonical.encode(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The envelope as a JSON value."""
        return {
            "payload": b64(self.payload),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": s.keyid, "sig": b64(s.sig)} for s in self.signatures],
        }

    @staticmethod
    def from_bytes(data: bytes) -> Envelope:
        """Read canonical bytes; CallerError `envelope.malformed` for anything that is no DSSE envelope."""
        return Envelope.from_json(canonical.decode(data))

    @staticmethod
    def from_json(value: Any) -> Envelope:
        """Read a JSON value with exactly an envelope's fields."""
        match value:
            case {"payload": str(payload), "payloadType": str(kind), "signatures": list(signatures)} if len(value) == 3:
                return Envelope(kind, unb64(payload), tuple(map(_signature, signatures)))
        raise CallerError("envelope.malformed", got=str(value)[:100])

    def signed_by(self, public: str) -> bool:
        """Whether one of the signatures is by this public key, and valid."""
        wanted = key_id(public)
        message = pae(self.payload_type, self.payload)
        return any(s.keyid == wanted and verify(public, s.sig, message) for s in self.signatures)

    def require(self, public: str, *, who: str) -> None:
        """Raise VerifyError `envelope.not-signed` unless signed by this key."""
        if not self.signed_by(public):
            raise VerifyError("envelope.not-signed", who=who, keyid=key_id(public)[:16])

    def with_signature(self, key: PrivateKey) -> Envelope:
        """The same payload with one more signature."""
        one = seal(self.payload, self.payload_type, [key]).signatures
        return Envelope(self.payload_type, self.payload, self.signatures + one)


def _signature(value: Any) -> Signature:
    match value:
        case {"keyid": str(keyid), "sig": str(sig)} if len(value) == 2:
            return Signature(keyid, unb64(sig))
    raise CallerError("envelope.malformed", got=str(value)[:100])


def seal(payload: bytes, payload_type: str, keys: Iterable[PrivateKey]) -> Envelope:
    """Sign a payload."""
    message = pae(payload_type, payload)
    signatures = tuple(Signature(key_id(key.public), key.sign(message)) for key in keys)
    return Envelope(payload_type, payload, signatures)

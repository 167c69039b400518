"""One leaf of the log: the author's signed envelope and when the log recorded it.

    {"entry":{"payload":"…","payloadType":"application/vnd.foedus.entry+json","signatures":[{"keyid":"…","sig":"…"}]},
     "recorded_at":"2026-11-22T00:50:37Z"}

(one line, no space: canonical JSON). The shape is fixed, every variable part is text that JSON never escapes, so one
anchored pattern reads it: what it accepts is canonical, and only the payload is left to be decoded as JSON. Exactly
one signature: an entry has one author.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from foedus.core import canonical
from foedus.core.clock import INSTANT
from foedus.core.clock import parse as parse_instant
from foedus.core.envelope import Envelope, Signature, unb64
from foedus.core.errors import CallerError, VerifyError
from foedus.records.acts import Entry

__all__ = ["LIMIT_BYTES", "Leaf", "envelope_part", "leaf_bytes", "parse_leaf", "recorded_part"]

LIMIT_BYTES = 48_000
"""A leaf is shorter than this; what is larger is an object that the entry names by digest."""

_HEAD, _TAIL = b'{"entry":', b',"recorded_at":"2026-11-22T00:50:37Z"}'
_SHAPE = re.compile(
    r'\{"entry":\{"payload":"(?P<payload>[A-Za-z0-9+/]+={0,2})",'
    rf'"payloadType":"{re.escape(Entry.payload_type())}",'
    r'"signatures":\[\{"keyid":"(?P<keyid>[0-9a-f]{64})","sig":"(?P<sig>[A-Za-z0-9+/]+={0,2})"\}\]\},'
    rf'"recorded_at":"(?P<recorded_at>{INSTANT.pattern})"\}}'
)


@dataclass(frozen=True, slots=True)
class Leaf:
    """An entry in its place. `data` are the bytes that the tree hashes."""

    index: int
    recorded_at: str
    envelope: Envelope
    entry: Entry
    data: bytes


def leaf_bytes(envelope: Envelope, recorded_at: str) -> bytes:
    """The bytes of a leaf: canonical JSON of the envelope and the instant."""
    return canonical.encode({"entry": envelope.to_json(), "recorded_at": recorded_at})


def envelope_part(data: bytes) -> bytes:
    """The envelope's bytes within a leaf's: equal for the same act, whenever it was recorded."""
    return data[len(_HEAD) : -len(_TAIL)]


def recorded_part(data: bytes) -> str:
    """The instant of recording within a leaf's bytes."""
    return data[-len(_TAIL) + len(b',"recorded_at":"') : -len(b'"}')].decode("ascii", "replace")


def parse_leaf(data: bytes, index: int) -> Leaf:
    """Read a leaf; the author's signature is not looked at.

    Raises:
        VerifyError: `ledger.bad-entry` for anything that is no leaf, or whose payload is no entry.
    """
    try:
        found = _SHAPE.fullmatch(data.decode("ascii"))
        if not found or len(data) >= LIMIT_BYTES:
            raise VerifyError("ledger.bad-entry", index=index, got=repr(data[:60]))
        parse_instant(found["recorded_at"])
        payload = unb64(found["payload"])
        entry = _entry(payload)
        signature = Signature(found["keyid"], unb64(found["sig"]))
    except (CallerError, ValueError) as error:
        raise VerifyError("ledger.bad-entry", index=index, got=str(error.args)[:200]) from error
    return Leaf(index, found["recorded_at"], Envelope(Entry.payload_type(), payload, (signature,)), entry, data)


def _entry(payload: bytes) -> Entry:
    """`Entry.from_bytes`, writing the payload out once where that does it twice: verifying a ledger is mostly this.

    `decode` has shown that the bytes are the canonical ones of `value`; so the record has them too if its fields are
    those of `value`. Python holds `True` equal to 1, hence the look at the types of the two whole numbers.
    """
    value = canonical.decode(payload)
    entry = Entry.model_validate(value)
    if vars(entry) != value or type(value["v"]) is not int or type(value["number"]) is not int:
        raise ValueError("another spelling of an entry")
    return entry

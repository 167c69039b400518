r"""Signed notes, checkpoints and cosignatures, byte for byte as C2SP writes them. Pure.

    https://c2sp.org/signed-note       a text, an empty line, signature lines "— NAME BASE64(key id || signature)"
    https://c2sp.org/tlog-checkpoint   the text "ORIGIN\nSIZE\nBASE64 ROOT\n": the head of a log
    https://c2sp.org/tlog-cosignature  type 0x04: a witness signs "cosignature/v1\ntime T\n" and the text

A note is read strictly: whatever does not write out to the very same bytes is refused. A signature by a name and key
id that the reader does not know says nothing; one that it knows must verify, or the whole note is refused. Extension
lines, which C2SP allows and advises against, are refused: nobody audits them.

Our public keys (`ed25519:<hex>`) serve as they are; `vkey` writes one as other tools read it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from foedus.core.clock import Clock
from foedus.core.envelope import b64, unb64
from foedus.core.errors import CallerError, VerifyError
from foedus.core.keys import PUBLIC_KEY, PrivateKey, public_key, verify
from foedus.ledger.merkle import HASH_SIZE

__all__ = [
    "COSIGNATURE",
    "ED25519",
    "Checkpoint",
    "Line",
    "Note",
    "cosign",
    "cosigned_at",
    "key_hash",
    "read_vkey",
    "require_head",
    "sign",
    "signed_by",
    "vkey",
    "witness_name",
]

ED25519 = 0x01
COSIGNATURE = 0x04
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_LIMIT_BYTES = 1 << 16


# ── keys ─────────────────────────────────────────────────────────────────────


def key_hash(name: str, kind: int, public: str) -> bytes:
    """The four bytes that name a key in a signature line; `kind` is the signature type."""
    return sha256(name.encode() + b"\n" + _material(kind, public)).digest()[:4]


def vkey(name: str, kind: int, public: str) -> str:
    """A public key as a C2SP verifier key, for other tools."""
    return f"{_checked_name(name)}+{key_hash(name, kind, public).hex()}+{b64(_material(kind, public))}"


def read_vkey(text: str) -> tuple[str, int, str]:
    """The name, signature type and public key of a verifier key; CallerError `ledger.bad-vkey` for any other text."""
    name, _, rest = text.partition("+")
    hashed, _, material = rest.partition("+")
    try:
        data = unb64(material)
        kind, public = data[0], "ed25519:" + data[1:].hex()
        if kind in (ED25519, COSIGNATURE) and vkey(name, kind, public) == f"{name}+{hashed}+{material}":
            return name, kind, public
    except (CallerError, IndexError) as error:
        raise CallerError("ledger.bad-vkey", got=text[:200]) from error
    raise CallerError("ledger.bad-vkey", got=text[:200])


def witness_name(origin: str, member: str) -> str:
    """The name under which a member cosigns the heads of this log."""
    return f"{origin}/{member}"


def _material(kind: int, public: str) -> bytes:
    if not public.startswith("ed25519:") or not PUBLIC_KEY.fullmatch(public):
        raise CallerError("ledger.not-ed25519", got=public[:100])
    public_key(public)
    return bytes([kind]) + bytes.fromhex(public.removeprefix("ed25519:"))


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise CallerError("ledger.bad-name", got=name[:100])
    return name


# ── notes ────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Line:
    """One signature line: who, the four bytes that name the key, and the signature."""

    name: str
    key_hash: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {b64(self.key_hash + self.signature)}\n"

    @staticmethod
    def parse(text: str) -> Line:
        """Read a line with its newline; VerifyError `ledger.bad-note` for any other spelling."""
        found = re.fullmatch(r"— (\S+) ([A-Za-z0-9+/]+={0,2})\n", text)
        if not found or not _NAME.fullmatch(found[1]):
            raise VerifyError("ledger.bad-note", got=text[:100])
        try:
            data = unb64(found[2])
        except CallerError as error:
            raise VerifyError("ledger.bad-note", got=text[:100]) from error
        if len(data) <= 4:
            raise VerifyError("ledger.bad-note", got=text[:100])
        return Line(found[1], data[:4], data[4:])


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends in a newline, and its signature lines."""

    text: str
    lines: tuple[Line, ...]

    def to_bytes(self) -> bytes:
        """The note as it is written."""
        return (self.text + "\n" + "".join(map(str, self.lines))).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Note:
        """Read a note; VerifyError `ledger.bad-note` for anything that is none. Signatures are not verified."""
        try:
            whole = data[: _LIMIT_BYTES + 1].decode()
        except UnicodeDecodeError as error:
            raise VerifyError("ledger.bad-note", got="bytes that are not UTF-8") from error
        text, gap, rest = whole.rpartition("\n\n")
        if len(data) > _LIMIT_BYTES or not gap or any(c < " " and c != "\n" for c in whole):
            raise VerifyError("ledger.bad-note", got=whole[:100])
        note = Note(text + "\n", tuple(Line.parse(line) for line in re.findall(r"[^\n]*\n|[^\n]+$", rest)))
        if not note.lines or note.to_bytes() != data:
            raise VerifyError("ledger.bad-note", got=whole[-100:])
        return note

    def adding(self, lines: Iterable[Line]) -> Note:
        """The same text with more signature lines."""
        return Note(self.text, self.lines + tuple(lines))


def sign(text: str, name: str, key: PrivateKey) -> Line:
    """Sign a note's text (type 0x01)."""
    return Line(_checked_name(name), key_hash(name, ED25519, key.public), key.sign(text.encode()))


def signed_by(note: Note, name: str, public: str) -> bool:
    """Whether the note carries this key's signature (type 0x01).

    Raises:
        VerifyError: `ledger.bad-signature` when a line bears the key's name and id and does not verify.
    """
    wanted = key_hash(name, ED25519, public)
    lines = [line for line in note.lines if (line.name, line.key_hash) == (name, wanted)]
    if not all(verify(public, line.signature, note.text.encode()) for line in lines):
        raise VerifyError("ledger.bad-signature", name=name)
    return bool(lines)


# ── checkpoints ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a log: its name, its number of entries and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text of the note: what log and witnesses sign."""
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"

    @staticmethod
    def parse(text: str) -> Checkpoint:
        """Read the text of a note; VerifyError `ledger.bad-checkpoint` for any other spelling."""
        found = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]{0,17})\n([A-Za-z0-9+/]{43}=)\n", text)
        if not found:
            raise VerifyError("ledger.bad-checkpoint", got=text[:200])
        try:
            root = unb64(found[3])
        except CallerError as error:
            raise VerifyError("ledger.bad-checkpoint", got=text[:200]) from error
        assert len(root) == HASH_SIZE  # noqa: S101 - 43 characters and one '=' are 32 bytes
        return Checkpoint(found[1], int(found[2]), root)


def require_head(note: Note, *, origin: str, log_key: str) -> Checkpoint:
    """The head in a note, once its origin and the log's signature are verified.

    Raises:
        VerifyError: `ledger.bad-checkpoint`, `ledger.wrong-origin`, `ledger.bad-signature` or
        `ledger.not-signed-by-log`.
    """
    head = Checkpoint.parse(note.text)
    if head.origin != origin:
        raise VerifyError("ledger.wrong-origin", expected=origin, got=head.origin)
    if not signed_by(note, origin, log_key):
        raise VerifyError("ledger.not-signed-by-log", origin=origin)
    return head


# ── cosignatures ─────────────────────────────────────────────────────────────


def cosign(text: str, name: str, key: PrivateKey, clock: Clock) -> Line:
    """A witness's signature, with its time, over a checkpoint's text (type 0x04).

    It says: this is the largest head of this log that I have seen, and it agrees with every earlier one. So cosign
    only the head of a copy that `Ledger.extend` has brought there.
    """
    seconds = int(clock().timestamp())
    signature = key.sign(_cosigned_message(text, seconds))
    return Line(_checked_name(name), key_hash(name, COSIGNATURE, key.public), seconds.to_bytes(8, "big") + signature)


def cosigned_at(text: str, line: Line, name: str, public: str) -> int:
    """The POSIX time of a witness's valid cosignature over a checkpoint's text.

    Raises:
        VerifyError: `ledger.bad-cosignature` when it is not this witness's, or not over this text.
    """
    seconds, signature = int.from_bytes(line.signature[:8], "big"), line.signature[8:]
    known = (line.name, line.key_hash) == (name, key_hash(name, COSIGNATURE, public)) and len(line.signature) == 72
    if not known or seconds >= 1 << 63 or not verify(public, signature, _cosigned_message(text, seconds)):
        raise VerifyError("ledger.bad-cosignature", name=line.name)
    return seconds


def _cosigned_message(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()

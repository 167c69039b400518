"""What a reader remembers: the anchors that it took up, and the highest checkpoint that it saw of each consortium.

One small JSON file, `{"anchors": {ORIGIN: ANCHOR}, "heads": {ANCHOR: BASE64 CHECKPOINT}}`. It is the reader's own; a
log that later shows a shorter or another history is caught by it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from foedus.core import canonical
from foedus.core.envelope import b64, unb64
from foedus.core.errors import CallerError, FoedusError
from foedus.core.files import read_bytes, write_atomic
from foedus.ledger.note import Checkpoint, Note

__all__ = ["Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """The file, or none: then nothing is remembered."""

    path: Path | None

    def required(self) -> Known:
        """Itself, once the file is read; CallerError `release.known-malformed` names a broken one."""
        for checkpoint in self._read()["heads"].values():
            try:
                _size(unb64(checkpoint))
            except FoedusError as error:
                raise CallerError("release.known-malformed", path=str(self.path)) from error
        return self

    def head(self, anchor: str) -> bytes | None:
        """The highest checkpoint seen under an anchor."""
        found = self._read()["heads"].get(anchor)
        return unb64(found) if found else None

    def remember(self, anchor: str, checkpoint: bytes) -> None:
        """Keep a checkpoint whose ledger was verified, if it is higher than the one kept."""
        if self.path is None:
            return
        before = self.head(anchor)
        if before is None or _size(before) < _size(checkpoint):
            self._write("heads", anchor, b64(checkpoint))

    def anchor(self, origin: str) -> str | None:
        """The anchor that was taken up for a ledger's name."""
        return self._read()["anchors"].get(origin)

    def take_up(self, origin: str, anchor: str) -> None:
        """Believe this anchor for this ledger's name from now on; CallerError `release.other-anchor-known` if another
        is.
        """
        known = self.anchor(origin)
        if known not in (None, anchor):
            raise CallerError("release.other-anchor-known", origin=origin, known=known, got=anchor)
        if self.path is not None and known is None:
            self._write("anchors", origin, anchor)

    def _read(self) -> dict[str, dict[str, str]]:
        if self.path is None or not self.path.exists():
            return {"anchors": {}, "heads": {}}
        data = read_bytes(self.path, limit_bytes=1 << 24)
        with suppress(CallerError):
            match canonical.decode(data):
                case {"anchors": dict(anchors), "heads": dict(heads)} if _texts(anchors) and _texts(heads):
                    return {"anchors": anchors, "heads": heads}
        raise CallerError("release.known-malformed", path=str(self.path))

    def _write(self, kind: str, key: str, value: str) -> None:
        assert self.path is not None  # noqa: S101 - the two callers looked
        content = self._read()
        content[kind][key] = value
        write_atomic(self.path, canonical.encode(content), mode=0o600)


def _texts(found: dict[str, object]) -> TypeGuard[dict[str, str]]:
    return all(isinstance(value, str) for value in found.values())


def _size(checkpoint: bytes) -> int:
    return Checkpoint.parse(Note.from_bytes(checkpoint).text).size

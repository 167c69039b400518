"""A store of objects named by their digest: `objects/sha256/ab/cdef…`. What is read back is checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from foedus.core.digest import DIGEST, hex_of, sha256
from foedus.core.errors import CallerError, VerifyError
from foedus.core.files import read_bytes, read_into, write_atomic

__all__ = ["ObjectStore"]


class ObjectStore:
    """Content-addressed files below a folder. Putting is idempotent and atomic."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where an object lies; CallerError `objects.bad-digest` for a text that is no digest."""
        if not DIGEST.fullmatch(digest):
            raise CallerError("objects.bad-digest", got=digest[:100])
        name = hex_of(digest)
        return self.root / "sha256" / name[:2] / name[2:]

    def put(self, data: bytes | memoryview) -> str:
        """Store bytes and give their digest."""
        digest = sha256(data)
        path = self.path(digest)
        if not path.exists():
            write_atomic(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of an object.

        Raises:
            CallerError: `objects.missing`.
            VerifyError: `objects.changed` when the file no longer has its digest.
        """
        data = read_bytes(self._present(digest), limit_bytes=1 << 34)
        self._require(digest, data)
        return data

    def load(self, digest: str) -> bytearray:
        """The bytes of an object in memory that may be written to, so that tensors can be views of it. Raises as
        `get`.
        """
        data = read_into(self._present(digest))
        self._require(digest, data)
        return data

    def discard(self, digest: str) -> None:
        """Delete an object; one that is not there is no error. Nobody may put the same bytes at the same time."""
        self.path(digest).unlink(missing_ok=True)

    def _present(self, digest: str) -> Path:
        path = self.path(digest)
        if not path.exists():
            raise CallerError("objects.missing", digest=digest)
        return path

    def _require(self, digest: str, data: bytes | bytearray) -> None:
        if (found := sha256(data)) != digest:
            raise VerifyError("objects.changed", path=str(self.path(digest)), expected=digest, got=found)

    def __contains__(self, digest: str) -> bool:
        return self.path(digest).exists()

    def __iter__(self) -> Iterator[str]:
        for path in sorted(self.root.glob("sha256/??/*")):
            name = path.parent.name + path.name
            if DIGEST.fullmatch(f"sha256:{name}"):
                yield f"sha256:{name}"

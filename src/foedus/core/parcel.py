"""A parcel: documents and objects that travel together as one byte string or one file.

    the line "foedus parcel v1" · one line of canonical JSON {"documents": […], "objects": [{"digest", "size"}…]} · the
    objects' bytes

An ask to a member, its reply, an invitation and a vote are all parcels. Objects are named by digest and checked on
reading; the order is sorted, so equal contents give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from foedus.core import canonical
from foedus.core.digest import sha256
from foedus.core.envelope import Envelope
from foedus.core.errors import CallerError, VerifyError

__all__ = ["Parcel"]

_MAGIC = b"foedus parcel v1\n"
_HEADER_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class Parcel:
    """Signed documents in order, and the objects that they name."""

    documents: tuple[Envelope, ...]
    objects: Mapping[str, bytes] = field(default_factory=dict)

    @staticmethod
    def of(documents: Iterable[Envelope], objects: Iterable[bytes] = ()) -> Parcel:
        """A parcel of documents and of objects, which are named by their digests."""
        return Parcel(tuple(documents), {sha256(data): data for data in objects})

    def to_bytes(self) -> bytes:
        """One byte string."""
        names = sorted(self.objects)
        header = canonical.encode(
            {
                "documents": [document.to_json() for document in self.documents],
                "objects": [{"digest": name, "size": len(self.objects[name])} for name in names],
            }
        )
        return b"".join([_MAGIC, header, b"\n", *(self.objects[name] for name in names)])

    @staticmethod
    def from_bytes(data: bytes) -> Parcel:
        """Read a parcel and check every object's digest.

        Raises:
            CallerError: `parcel.malformed`.
            VerifyError: `parcel.object-changed`.
        """
        end = data.find(b"\n", len(_MAGIC), len(_MAGIC) + _HEADER_LIMIT)
        if not data.startswith(_MAGIC) or end < 0:
            raise CallerError("parcel.malformed", got=repr(data[:40]))
        header = canonical.decode(data[len(_MAGIC) : end])
        match header:
            case {"documents": list(documents), "objects": list(listed)} if len(header) == 2:
                envelopes = tuple(Envelope.from_json(item) for item in documents)
                return Parcel(envelopes, _objects(data, end + 1, listed))
        raise CallerError("parcel.malformed", got=str(header)[:100])


def _objects(data: bytes, start: int, listed: list[Any]) -> dict[str, bytes]:
    objects: dict[str, bytes] = {}
    for item in listed:
        match item:
            case {"digest": str(digest), "size": int(size)} if len(item) == 2 and size >= 0:
                body = data[start : start + size]
                start += size
                if (found := sha256(body)) != digest:
                    raise VerifyError("parcel.object-changed", expected=digest, got=found)
                objects[digest] = body
            case _:
                raise CallerError("parcel.malformed", got=str(item)[:100])
    if start != len(data) or list(objects) != sorted(objects) or len(objects) != len(listed):
        raise CallerError("parcel.malformed", got=f"{len(data)} bytes where {start} were announced")
    return objects

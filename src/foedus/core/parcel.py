"""A parcel: documents and objects that travel together as one byte string or one file.

    the line "foedus parcel v1" · one line of canonical JSON {"documents": […], "objects": [{"digest", "size"}…]} · the
    objects' bytes

An ask to a member, its reply, an invitation and a vote are all parcels. Objects are named by digest and checked on
reading; the order is sorted, so equal contents give equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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

    def view(self, name: str) -> memoryview:
        """An object's bytes where they lie, without a copy; KeyError for one that is not here."""
        objects = self.objects
        return objects.view(name) if isinstance(objects, _Slices) else memoryview(objects[name])

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
        """Read a parcel and check every object's digest. Its objects stay in `data` until they are read.

        Raises:
            CallerError: `parcel.malformed`.
            VerifyError: `parcel.object-changed`.
        """
        end = data.find(b"\n", len(_MAGIC), len(_MAGIC) + _HEADER_LIMIT)
        if not data.startswith(_MAGIC) or end < 0:
            raise CallerError("parcel.malformed", got=f"{len(data)} bytes, {data[:40]!r}")
        header = canonical.decode(data[len(_MAGIC) : end])
        match header:
            case {"documents": list(documents), "objects": list(listed)} if len(header) == 2:
                envelopes = tuple(Envelope.from_json(item) for item in documents)
                return Parcel(envelopes, _objects(data, end + 1, listed))
        raise CallerError("parcel.malformed", got=str(header)[:100])


class _Slices(Mapping[str, bytes]):
    """Objects of a parcel that was read: a slice of its bytes when it is asked for."""

    def __init__(self, data: bytes, places: Mapping[str, slice]) -> None:
        self._data, self._places = data, places

    def view(self, name: str) -> memoryview:
        return memoryview(self._data)[self._places[name]]

    def __getitem__(self, name: str) -> bytes:
        return self._data[self._places[name]]

    def __contains__(self, name: object) -> bool:  # what a mapping has by itself would copy the object to see
        return name in self._places

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _objects(data: bytes, start: int, listed: list[Any]) -> _Slices:
    whole = memoryview(data)
    objects: dict[str, slice] = {}
    for item in listed:
        match item:
            case {"digest": str(digest), "size": int(size)} if len(item) == 2 and size >= 0:
                objects[digest] = slice(start, start + size)
                if (found := sha256(whole[start : start + size])) != digest:
                    raise VerifyError("parcel.object-changed", expected=digest, got=found)
                start += size
            case _:
                raise CallerError("parcel.malformed", got=str(item)[:100])
    if start != len(data) or list(objects) != sorted(objects) or len(objects) != len(listed):
        raise CallerError("parcel.malformed", got=f"{len(data)} bytes where {start} were announced")
    return _Slices(data, objects)

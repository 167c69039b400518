"""What travels in a Flower message: a number, a body of bytes, a deadline; or a code where there is no body.

A small body stands in the head. A large one is an array of bytes, because Flower sends arrays in pieces of 5 MB, so
that no message is bounded by what fits into one HTTP body; each piece costs requests of its own, so a small one is
none.
"""

from __future__ import annotations

from dataclasses import dataclass

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

__all__ = ["LATE", "Letter", "MalformedLetterError"]

LATE = "engine.late"
_KIND = "foedus.bytes"
_PIECE = 1 << 30  # Flower's own arrays end before 2 GiB
_SMALL = 1 << 20


class MalformedLetterError(ValueError):
    """A message of another shape than the wire's own."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to a member, or its answer.

    Attributes:
        number: set by the hub for each letter, returned in the answer.
        body: the bytes, empty where `code` says why there are none.
        code: the code of an error; empty where there is a body.
        deadline: when the step ends, seconds since 1970 by the hub's clock.
        patience_seconds: how long the node waits for its resident process.
    """

    number: str
    body: bytes = b""
    code: str = ""
    deadline: float = 0.0
    patience_seconds: float = 0.0

    def write(self) -> RecordDict:
        """The letter as the content of a Flower message."""
        head = ConfigRecord(
            {
                "number": self.number,
                "code": self.code,
                "deadline": self.deadline,
                "patience": self.patience_seconds,
                "body": self.body if len(self.body) <= _SMALL else b"",
            }
        )
        if head["body"] == self.body:
            return RecordDict({"head": head})
        pieces = [self.body[start : start + _PIECE] for start in range(0, len(self.body), _PIECE)]
        arrays = {f"{place:04d}": Array("uint8", (len(piece),), _KIND, piece) for place, piece in enumerate(pieces)}
        return RecordDict({"head": head, "body": ArrayRecord(arrays)})

    @staticmethod
    def read(content: RecordDict) -> Letter:
        """The letter in the content of a Flower message.

        Raises:
            MalformedLetterError: the content is not one.
        """
        try:
            head = content.config_records["head"]
            number, code, body = head["number"], head["code"], head["body"]
            deadline, patience = head["deadline"], head["patience"]
        except KeyError as error:
            raise MalformedLetterError(str(error)) from error
        if pieces := content.array_records.get("body"):
            parts = [pieces[place].data for place in sorted(pieces)]
            body = parts[0] if len(parts) == 1 else b"".join(parts)
        match number, code, deadline, patience, body:
            case str(), str(), float(), float(), bytes():
                return Letter(number, body, code, deadline, patience)
        raise MalformedLetterError(repr(number))

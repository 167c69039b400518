"""What all records share: strict fields, one byte form, a digest; and the field types.

Records are read from two places. Canonical JSON is read strictly: an integer is an integer. The accord's YAML is read
as strings and typed here (`context={"yaml": True}`), so `no` never turns into false nor `017` into 15.

No record holds a float. Fractions are `Decimal` strings with one spelling, ratios are `"2/3"`, shares are basis points.
"""

from __future__ import annotations

import re
from datetime import date
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Self, TypeVar
from unicodedata import normalize

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_serializer,
)
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError

from foedus.core import canonical
from foedus.core.clock import parse as parse_instant
from foedus.core.digest import DIGEST, sha256
from foedus.core.envelope import Envelope, seal
from foedus.core.errors import CallerError
from foedus.core.keys import PUBLIC_KEY, PrivateKey

__all__ = [
    "RATE",
    "BasisPoints",
    "Bool",
    "Code",
    "Count",
    "Day",
    "Decimal",
    "Digest",
    "Instant",
    "Int",
    "Name",
    "Positive",
    "PublicKey",
    "Rate",
    "Record",
    "SetOf",
    "Sparse",
    "Text",
    "decimal",
    "open_record",
    "refused",
]


def refused(reason: str, said: str, **fields: Any) -> PydanticCustomError:
    """Why a record does not take a value, to be raised by its validators: a stable `reason` with fields, for which a
    reader that knows where the value stands has a text in each language; `said` is for every other reader.
    """
    return PydanticCustomError(reason, said, fields)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def _from_yaml(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("yaml"))


def _integer(value: Any, info: ValidationInfo) -> Any:
    if _from_yaml(info) and isinstance(value, str) and re.fullmatch(r"0|-?[1-9][0-9]*", value):
        return int(value)
    return value


def _boolean(value: Any, info: ValidationInfo) -> Any:
    return {"true": True, "false": False}.get(value, value) if _from_yaml(info) and isinstance(value, str) else value


def decimal(value: str | int | Fraction | float, *, digits: int = 9) -> str:
    """The one spelling of a decimal: no exponent, no needless zero; floats are rounded to `digits` places."""
    if isinstance(value, float):
        value = f"{value:.{digits}f}"
    elif isinstance(value, Fraction):
        scaled = round(value * 10**digits)
        sign, scaled = ("-", -scaled) if scaled < 0 else ("", scaled)
        value = f"{sign}{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
    text = str(value)
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        raise ValueError(f"expected a decimal such as 0.05, got {text[:40]!r}")
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, _, rest = text.partition(".")
    whole, rest = whole.lstrip("0") or "0", rest.rstrip("0")
    text = f"{whole}.{rest}" if rest else whole
    return text if text == "0" else sign + text


_MOST_DIGITS = 300  # whatever stands in a record can be computed with: it is below the largest float, and quickly read
_SPELT = re.compile(r"(?!-0\Z)-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?")


def _decimal(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        raise ValueError(f"expected a decimal as text such as '0.05', got {value!r}")
    if len(value) > _MOST_DIGITS:
        raise ValueError(f"expected a decimal of at most {_MOST_DIGITS} characters, got {len(value)}")
    if _SPELT.fullmatch(value):
        return value
    spelt = decimal(value)
    if spelt != value and not _from_yaml(info):
        raise ValueError(f"expected the spelling {spelt!r}, got {value!r}")
    return spelt


def _text(value: str, info: ValidationInfo) -> str:
    if value.isascii() and value.isprintable():
        return value
    spelt = normalize("NFC", value)
    if spelt != value and not _from_yaml(info):
        raise ValueError("expected text in Unicode form NFC")
    if _CONTROL.search(spelt):
        raise ValueError("expected text without control characters")
    return spelt


def _day(value: str) -> str:
    if str(date.fromisoformat(value)) != value:
        raise ValueError(f"expected a day such as 2027-06-30, got {value!r}")
    return value


def _instant(value: str) -> str:
    parse_instant(value)
    return value


def _sorted_set(value: Any, info: ValidationInfo) -> Any:
    """Sets are written sorted and without repeats; YAML may list them in any order."""
    if not isinstance(value, list | tuple):
        return value
    texts = list(value)
    if len({str(item) for item in texts}) != len(texts):
        raise refused("item-twice", "expected no item twice")
    return tuple(sorted(texts, key=str)) if _from_yaml(info) else tuple(texts)


def _is_sorted(value: tuple[str, ...]) -> tuple[str, ...]:
    if list(value) != sorted(value):
        raise ValueError("expected the items in sorted order")
    return value


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


Int = Annotated[int, BeforeValidator(_integer)]
Count = Annotated[int, BeforeValidator(_integer), AfterValidator(lambda v: _at_least(v, 0))]
Positive = Annotated[int, BeforeValidator(_integer), AfterValidator(lambda v: _at_least(v, 1))]
BasisPoints = Annotated[int, BeforeValidator(_integer), AfterValidator(lambda v: _between(v, 0, 10_000))]
Bool = Annotated[bool, BeforeValidator(_boolean)]
Text = Annotated[str, AfterValidator(_text), StringConstraints(min_length=1, max_length=10_000)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._-]{0,99}$")]
Digest = Annotated[str, StringConstraints(pattern=f"^{DIGEST.pattern}$")]
PublicKey = Annotated[str, StringConstraints(pattern=f"^(?:{PUBLIC_KEY.pattern})$")]
Decimal = Annotated[str, BeforeValidator(_decimal)]
RATE = r"^-?[0-9]{1,9}(\.[0-9]{1,18})?$"
Rate = Annotated[Decimal, Field(pattern=RATE)]
"""A decimal of a length that a float holds: finite, and above zero where its digits are."""
Day = Annotated[str, AfterValidator(_day)]
Instant = Annotated[str, AfterValidator(_instant)]

T = TypeVar("T")
SetOf = Annotated[tuple[T, ...], BeforeValidator(_sorted_set), AfterValidator(_is_sorted)]
ListOf = Annotated[tuple[T, ...], BeforeValidator(_listed)]


def _at_least(value: int, low: int) -> int:
    if value < low:
        raise ValueError(f"expected at least {low}, got {value}")
    return value


def _between(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise ValueError(f"expected {low} to {high}, got {value}")
    return value


class Record(BaseModel):
    """A frozen document with one canonical byte form. `kind` names it in envelopes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, ser_json_inf_nan="strings")
    kind: ClassVar[str] = ""

    def to_bytes(self) -> bytes:
        """Canonical JSON, every default written out."""
        return canonical.encode(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical bytes."""
        return sha256(self.to_bytes())

    @classmethod
    def payload_type(cls) -> str:
        """The type under which this record is signed."""
        return f"application/vnd.foedus.{cls.kind}+json"

    def sign(self, *keys: PrivateKey) -> Envelope:
        """This record in an envelope signed by these keys."""
        return seal(self.to_bytes(), self.payload_type(), keys)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read canonical bytes.

        Raises:
            CallerError: `records.malformed` for a wrong or missing field or type, `canonical.…` for the bytes.
        """
        return cls.from_json(canonical.decode(data), data=data)

    @classmethod
    def from_json(cls, value: Any, *, data: bytes | None = None) -> Self:
        """Read a JSON value; `data` are the bytes that the record must give back."""
        try:
            record = cls.model_validate(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "(whole)"
            raise CallerError(
                "records.malformed", kind=cls.kind or cls.__name__, where=where, got=first["msg"][:300]
            ) from error
        if record.to_bytes() != (data if data is not None else canonical.encode(value)):
            name = cls.kind or cls.__name__
            raise CallerError("records.malformed", kind=name, where="(whole)", got="another spelling")
        return record


class Sparse(Record):
    """A record with fields that came `later`: they are left out of its bytes where they are null, so that what was
    signed before them keeps its digest.
    """

    later: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return {name: value for name, value in data.items() if name not in self.later or value is not None}


R = TypeVar("R", bound=Record)


def open_record(kind: type[R], envelope: Envelope) -> R:
    """The record in an envelope; CallerError `records.wrong-type` when the envelope holds another type.

    Signatures are not looked at: say whose must be there with `envelope.require`.
    """
    if envelope.payload_type != kind.payload_type():
        raise CallerError("records.wrong-type", expected=kind.payload_type(), got=envelope.payload_type)
    return kind.from_bytes(envelope.payload)

"""The schema of the accord as data: which records a field may hold, and every field with its path.

Reading (to name a clause in an error), the schema for editors and the tests of explanation and documents walk the same
fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from foedus.records.accord import Accord, Quorum
from foedus.records.base import BasisPoints, Bool, Day, Decimal, Digest, Int, Name, Positive, PublicKey, Record, Text

__all__ = ["Clause", "clauses", "field_type", "item_type", "nullable", "record_for", "records_in", "scalar_kind", "tag"]

_SCALARS = {
    "positive": Positive,
    "basis-points": BasisPoints,
    "integer": Int,
    "decimal": Decimal,
    "boolean": Bool,
    "day": Day,
    "quorum": Quorum,
    "digest": Digest,
    "key": PublicKey,
    "name": Name,
    "text": Text,
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A field of the accord. `path` is dotted; `[]` marks a list, `[lora]` the variant that has the field."""

    path: str
    record: type[Record]
    name: str
    info: FieldInfo


def field_type(record: type[Record], name: str) -> Any:
    """The type of a field with all that was annotated to it."""
    info = record.model_fields[name]
    return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation


def nullable(kind: Any) -> bool:
    """Whether the type allows null."""
    return NoneType in map(_bare, _options(kind))


def item_type(kind: Any) -> Any | None:
    """The type of the items of a list; None for what is no list."""
    lists = [option for option in map(_bare, _options(kind)) if get_origin(option) is tuple]
    return get_args(lists[0])[0] if lists else None


def records_in(kind: Any) -> tuple[type[Record], ...]:
    """The records that a value of this type can be: none for a scalar or list, several where a name chooses."""
    options = map(_bare, _options(kind))
    return tuple(option for option in options if isinstance(option, type) and issubclass(option, Record))


def record_for(kind: Any, value: Any) -> type[Record] | None:
    """The record that a mapping is meant to be: the only one, or the one that its `name` chooses."""
    records = records_in(kind)
    if len(records) == 1:
        return records[0]
    chosen = value.get("name") if isinstance(value, dict) else None
    return next((record for record in records if tag(record) == chosen), None)


def tag(record: type[Record]) -> str:
    """The name by which an accord chooses this record."""
    return str(record.model_fields["name"].default)


def scalar_kind(kind: Any) -> str:
    """Which of the scalar types of `records/base.py` this is: `positive`, `decimal`, `day`, …; `other` for none."""
    for option in _options(kind):
        layers = []
        while get_origin(option) is Annotated:
            layers.append(option.__metadata__)
            option = get_args(option)[0]
        for name, scalar in _SCALARS.items():
            wanted = scalar.__metadata__  # type: ignore[attr-defined] # every one of them is Annotated
            if any(layer[: len(wanted)] == wanted for layer in layers):
                return name
    return "other"


def clauses(record: type[Record] = Accord, prefix: str = "") -> Iterator[Clause]:
    """Every field of the accord that holds a scalar or a list of scalars, in the order of the schema."""
    for name, info in record.model_fields.items():
        kind = field_type(record, name)
        path, item = f"{prefix}{name}", item_type(kind)
        if item is not None:
            path, kind = f"{path}[]", item
        records = records_in(kind)
        if not records:
            yield Clause(path, record, name, info)
        for inner in records:
            variant = f"[{tag(inner)}]" if len(records) > 1 else ""
            yield from clauses(inner, f"{path}{variant}.")


def _bare(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _options(kind: Any) -> tuple[Any, ...]:
    bare = _bare(kind)
    if get_origin(bare) in (Union, UnionType):
        return tuple(option for arm in get_args(bare) for option in _options(arm))
    return (kind,)

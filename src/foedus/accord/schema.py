"""A JSON Schema of the draft, so that an editor completes clauses and marks mistakes while an accord is written.

It describes the YAML form: keys, the outer step and what has a default may be left out; decimals stand with or without
quotes. It is a help, not the judge: `accord check` reads more strictly and knows what a schema cannot say.
"""

from __future__ import annotations

from typing import Any

from foedus.accord.fields import field_type, item_type, nullable, records_in, scalar_kind, tag
from foedus.records.accord import Accord, Aggregation, Coordinator, Member
from foedus.records.base import RATE, Record

__all__ = ["json_schema"]

_OPTIONAL: dict[type[Record], tuple[str, ...]] = {
    Member: ("keys",),
    Coordinator: ("keys",),
    Aggregation: ("outer",),
    Accord: ("aggregation",),
}
_DECIMAL = {"type": ["string", "number"], "pattern": RATE, "maximum": 1_000_000_000}
_SCALARS: dict[str, dict[str, Any]] = {
    "positive": {"type": "integer", "minimum": 1},
    "basis-points": {"type": "integer", "minimum": 0, "maximum": 10_000},
    "decimal": _DECIMAL,
    "day": {"type": "string", "format": "date", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
    "quorum": {"type": "string", "pattern": "^(all|[1-9][0-9]*/[1-9][0-9]*)$"},
}


def json_schema() -> dict[str, Any]:
    """The schema, JSON Schema draft 2020-12."""
    schema = Accord.model_json_schema(mode="validation")
    definitions = schema.pop("$defs")
    for record in _records(Accord):
        _refine(record, schema if record is Accord else definitions[record.__name__])
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "$defs": definitions}


def _records(record: type[Record]) -> list[type[Record]]:
    found = [record]
    for name in record.model_fields:
        kind = field_type(record, name)
        for inner in records_in(item_type(kind) or kind):
            found += [one for one in _records(inner) if one not in found]
    return found


def _refine(record: type[Record], schema: dict[str, Any]) -> None:
    """What the types check beyond what pydantic writes into a schema, and what a draft may leave out."""
    optional = _OPTIONAL.get(record, ())
    required = [name for name in schema.get("required", []) if name not in optional]
    named = "name" in record.model_fields and record.model_fields["name"].default == _tag_or_none(record)
    schema["required"] = ["name", *required] if named and "name" not in required else required
    for name, shape in schema["properties"].items():
        # Behind a validator of ours pydantic leaves its own words for a range.
        arm = shape["anyOf"][0] if "anyOf" in shape else shape
        limits = {word: arm.pop(own) for own, word in (("ge", "minimum"), ("le", "maximum")) if own in arm}
        arm.update(limits)
        kind = field_type(record, name)
        scalar = _SCALARS.get(scalar_kind(kind))
        if scalar is None:
            continue
        kept = {key: value for key, value in shape.items() if key in ("default", "description", "title")}
        scalar = {**scalar, **limits}
        shape.clear()
        shape.update({**kept, "anyOf": [scalar, {"type": "null"}]} if nullable(kind) else {**kept, **scalar})


def _tag_or_none(record: type[Record]) -> str | None:
    """The name that chooses this record among variants; None where `name` is a name of the author's choice."""
    default = record.model_fields["name"].default
    return tag(record) if isinstance(default, str) else None

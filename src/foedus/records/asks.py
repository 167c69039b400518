"""Asks and replies: what the coordinator sends to a member and what comes back.

An ask is signed by the coordinator; its digest is its identity, and a node answers one digest once. A reply names the
ask's digest and is signed by the member. Big things (states, updates, replicates) are objects named by digest in the
same parcel. Each kind of ask is one record; the union is closed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from foedus.records.base import Digest, Instant, Int, Name, Positive, Record, Text
from foedus.records.tune import Trial

__all__ = [
    "SAFE_FIELDS",
    "Alone",
    "Ask",
    "AskBody",
    "Evaluate",
    "Gradient",
    "Place",
    "Reply",
    "Train",
    "Validate",
    "safe_fields",
]


class Train(Record):
    """Train from `start` for one round and give the update (object `update`). Clause: training, tune."""

    kind: ClassVar[str] = "train"
    ask: Literal["train"] = "train"
    start: Digest
    half: Literal["all", "A", "B"] = "all"
    trial: Trial | None = None


class Validate(Record):
    """The loss of `state` on the validation part. Reply body: `n` and `loss` (mean, a decimal). Clause: early
    stopping, credit.
    """

    kind: ClassVar[str] = "validate"
    ask: Literal["validate"] = "validate"
    state: Digest


class Gradient(Record):
    """The gradient of the mean validation loss, averaged over the path from `start` to `end` (object `gradient`).

    Gauss–Legendre with `points` points, over the names that the round moved. Clause: credit. Refused below the
    smallest cell.
    """

    kind: ClassVar[str] = "gradient"
    ask: Literal["gradient"] = "gradient"
    start: Digest
    end: Digest
    points: Positive


class Alone(Record):
    """Train alone, from `start`, as many steps as the federation's rounds took; the model stays private. Clause:
    evaluation.
    """

    kind: ClassVar[str] = "alone"
    ask: Literal["alone"] = "alone"
    start: Digest
    rounds: Positive


class Evaluate(Record):
    """Sufficient counts on the test part under the federated model and the member's own (body), with the number of
    examples and the digest of the state that was measured.

    The same counts for each replicate of the paired bootstrap are the object `replicates`. Clause: evaluation. Refused
    below the smallest cell.
    """

    kind: ClassVar[str] = "evaluate"
    ask: Literal["evaluate"] = "evaluate"
    start: Digest
    state: Digest
    replicates: Positive


AskBody = Annotated[Train | Validate | Gradient | Alone | Evaluate, Field(discriminator="ask")]


class Place(Record):
    """Where an ask stands: a node answers one ask for one place, and no other."""

    run: Name
    round: Int
    attempt: Positive = 1
    number: Positive


class Ask(Record):
    """A signed question to one member. `roster` is the digest of the run's `run.open` body."""

    kind: ClassVar[str] = "ask"
    v: Literal[1] = 1
    accord: Digest
    place: Place
    member: Name
    roster: Digest
    not_after: Instant
    body: AskBody


class Reply(Record):
    """A signed answer. `refused` names the clause that forbids the ask; `failed` a code with allow-listed fields."""

    kind: ClassVar[str] = "reply"
    v: Literal[1] = 1
    ask: Digest
    member: Name
    outcome: Literal["done", "refused", "failed"]
    code: Text | None = None
    fields: dict[str, Text] = Field(default_factory=dict)
    body: dict[str, Any] = Field(default_factory=dict)
    objects: dict[Name, Digest] = Field(default_factory=dict)


SAFE_FIELDS = {
    "part": re.compile(r"train|validation|test"),
    "expected": re.compile(r"[0-9]{1,12}|sha256:[0-9a-f]{64}"),
    "round": re.compile(r"[0-9]{1,9}"),
    "step": re.compile(r"[0-9]{1,9}"),
}
"""The fields of an error that may leave a member's machine, and the form each must have: none can carry a text."""


def safe_fields(fields: Mapping[str, object]) -> dict[str, str]:
    """What may be told of an error's fields. The node sends no more, and the coordinator shows no more."""
    told = {name: str(fields[name]) for name in SAFE_FIELDS if name in fields}
    return {name: value for name, value in told.items() if SAFE_FIELDS[name].fullmatch(value)}

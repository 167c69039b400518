"""Every leaf of an accord, and the accord with one leaf changed to another allowed value."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from foedus.records import terms
from foedus.records.accord import (
    Accord,
    Aggregation,
    Amendment,
    Participation,
    Purpose,
    ReleaseTerms,
    Simulated,
    Training,
)
from foedus.records.serving import Serving
from foedus.records.terms import EarlyStopping, MemberRank
from foedus.records.tune import Dimension, Tune
from foedus.records.watch import Monitoring
from samples import keys, sample_accord

Path = tuple[str | int, ...]

_WORDS = {
    "foedus/v1": None,
    "separate": "one-process",
    "one-process": "separate",
    "alternate": "stack",
    "stack": "alternate",
    "linear": "cosine",
    "cosine": "constant",
    "constant": "linear",
    "examples": "equal",
    "equal": "examples",
    "clear": None,
    "folded": "adapter",
    "adapter": "folded",
    "published": "withheld",
    "withheld": "published",
    "word": "character",
    "character": "word",
    "all": "2/3",
    "2/3": "all",
    "aggregation.outer.learning_rate": "training.craft.learning_rate",
    "training.craft.schedule": "training.craft.warmup_bp",
    "median": "none",
    "shuffled": "length-buckets",
    "length-buckets": "shuffled",
    "float32": "bfloat16",
    "bfloat16": "float32",
    "contributor": "auditor",
    "auditor": "contributor",
    "confidence": "inputs",
    "labels": "lengths",
    "stop": "warn",
    "warn": "stop",
}


def variants() -> tuple[Accord, ...]:
    """Accords that together hold every field of the schema."""
    base = sample_accord(
        purpose=Purpose(summary="Help.", uses=("customer-service",), prohibited=("scoring",)),
        amendment=Amendment(veto=("bank-a",)),
        release=ReleaseTerms(licence="Apache-2.0", rank=4, veto=("bank-b",), form="adapter"),
        data=sample_accord().data.model_copy(update={"licences": ("CC0",), "consents": ("contract",)}),
        training=Training(
            seed="s",
            method=terms.Lora(combine="stack", top_layers=2, member_ranks=(MemberRank(member="bank-a", rank=2),)),
            craft=terms.Craft(max_steps=9, head_learning_rate="0.01", dropout="0.1"),
            early_stopping=EarlyStopping(),
        ),
        aggregation=Aggregation(
            outer=terms.Nesterov(),
            participation=Participation(members=("bank-a", "bank-b"), tags=("north", "south"), sample=2),
            late=terms.NextRound(),
        ),
        serving=Serving(review_below_bp=6000, keep_texts_days=30),
        monitoring=Monitoring(measures=("confidence", "labels"), proposers=("bank-a", "bank-b"), every_seconds=300),
        tune=Tune(
            trials=4,
            rounds=2,
            pruning="median",
            space=(
                Dimension(path="aggregation.outer.learning_rate", low="0.1", high="1", log=True),
                Dimension(path="training.craft.schedule", choices=("cosine", "linear")),
            ),
        ),
    )
    first = base.members[0].model_copy(update={"tags": ("north", "west")})
    base = base.model_copy(update={"members": (first, *base.members[1:])})
    plain = sample_accord(auditors=("auditor",))
    others = [
        plain.model_copy(update={"aggregation": plain.aggregation.model_copy(update={"outer": outer})})
        for outer in (terms.Plain(), terms.Adam(), terms.Yogi())
    ]
    full = plain.training.model_copy(update={"method": terms.Full(top_layers=2)})
    head = plain.training.model_copy(update={"method": terms.Head()})
    task = terms.TokenClassification(labels=("PER", "LOC"))
    return (
        base,
        plain,
        *others,
        plain.model_copy(update={"training": full, "credit": terms.Reconstruct(), "task": task}),
        plain.model_copy(update={"training": head, "credit": terms.NoCredit(), "version": 2, "prev": plain.digest}),
        plain.model_copy(update={"members": (), "simulated": Simulated(count=3), "custody": "one-process"}),
    )


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every scalar of a JSON value with its path."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in items:
            yield from leaves(one, (*path, key))
    else:
        yield path, value


def changed(accord: Accord, path: Path) -> Accord | None:
    """The accord with another value at a leaf; None where the schema knows only one value for it."""
    tree = accord.model_dump(mode="json")
    node = tree
    for part in path[:-1]:
        node = node[part]
    for value in _others(node[path[-1]]):
        if value == node[path[-1]]:
            continue
        mutated = copy.deepcopy(tree)
        inner = mutated
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value
        try:
            return Accord.model_validate(mutated)
        except ValueError:
            continue
    return None


def _others(value: Any) -> Iterator[Any]:
    if value is None:
        space = [{"path": "training.craft.batch_size", "low": "2", "high": "4"}]
        yield from ("sha256:" + "1" * 64, 3, "0.5", {"patience": 1, "min_delta": "0"}, {"trials": 2, "space": space})
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, value - 1)
    elif value.startswith(("ed25519:", "p256:")):
        yield getattr(keys("another"), "release" if value.startswith("p256:") else "act")
    else:
        yield _WORDS.get(value)
        yield from (value[:-1] + ending for ending in "012")
        yield from (value + "x", value + "5")

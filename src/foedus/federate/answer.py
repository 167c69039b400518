"""A member's work: one function for each kind of ask, from its own data and private state.

`answer` is pure: what it reads stands on the shelf (the member's parts and the model) or in `private` (what it keeps
between rounds), and what it changes comes back. It decides nothing: whether an ask may be answered is settled before,
by the node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from foedus.core.errors import RunError
from foedus.core.registry import Implementations
from foedus.core.rng import PublicRng
from foedus.records.asks import Alone, Ask, Evaluate, Gradient, Train, Validate
from foedus.records.base import decimal
from foedus.records.plan import Half, Plan
from foedus.records.tune import tuned
from foedus.state import State, check_finite, digest, from_bytes, subtract, to_bytes
from foedus.tasks.score import bootstrap
from foedus.train.learn import Span, gradient_along, learn, logits_of, mean_loss
from foedus.train.lower import Prepared, prepare
from foedus.train.model import A, B, Model, fresh_adapter, load, read

__all__ = ["Answered", "Private", "Shelf", "answer", "counts_of", "trained_names"]

Private = Mapping[str, State]
"""Named states in the member's own store: `alone`, the model it trained by itself."""


@dataclass(slots=True)
class Shelf:
    """What a member's work reads: its name, its parts as examples, and the model. Prepared parts are kept between
    asks.
    """

    member: str
    parts: Mapping[str, tuple[Any, ...]]
    model: Model
    plan: Plan
    _prepared: dict[str, Prepared] = field(default_factory=dict)

    def part(self, name: str) -> Prepared:
        """A part ready for the network, the frozen lower layers computed once.

        Raises:
            RunError: `answer.smallest-cell` when the part has fewer examples than the accord's smallest cell.
        """
        examples = self.parts.get(name, ())
        if len(examples) < self.plan.smallest_cell:
            raise RunError("answer.smallest-cell", part=name, expected=self.plan.smallest_cell)
        if name not in self._prepared:
            encoded = self.model.task.encode(self.model.tokenizer, examples)
            self._prepared[name] = prepare(self.model, encoded)
        return self._prepared[name]


@dataclass(frozen=True, slots=True)
class Answered:
    """What the work gave: the reply's body, its objects by name, and the private states to keep."""

    body: dict[str, Any]
    objects: dict[str, bytes] = field(default_factory=dict)
    private: Private = field(default_factory=dict)


Open = Callable[[str], bytes]
Handler = Callable[[Any, Ask, Shelf, Private, Open], Answered]
handles: Implementations[Handler] = Implementations("handler")


def answer(ask: Ask, shelf: Shelf, private: Private, objects: Open) -> Answered:
    """Do what an ask says; `objects` opens the states that it names.

    Raises:
        RunError: `answer.smallest-cell`, `answer.nothing-alone`, `train.diverged`.
    """
    return handles.of(ask.body)(ask.body, ask, shelf, private, objects)


def trained_names(model: Model, half: Half) -> frozenset[str]:
    """What a round of this half trains: one factor of each adapter and the head, or everything."""
    other = {"A": B, "B": A, "all": None}[half]
    return frozenset(name for name in model.trained if other is None or not name.endswith(other))


def _seed(shelf: Shelf, ask: Ask) -> tuple[str, str, str]:
    return (shelf.plan.seed, ask.place.run, shelf.member)


@handles(Train)
def _train(body: Train, ask: Ask, shelf: Shelf, private: Private, objects: Open) -> Answered:
    model, plan, number = shelf.model, shelf.plan, ask.place.round
    data = shelf.part("train")
    load(model, from_bytes(objects(body.start)))
    if model.stacks:
        fresh_adapter(model, PublicRng(plan.seed, ask.place.run, number, shelf.member, "adapter"))
    names = trained_names(model, body.half)
    before = read(model, names)
    span = Span(number, number, plan.rounds)
    craft = tuned(plan.craft, "training.craft", body.trial)
    steps = learn(model, data, names, craft=craft, span=span, seed=_seed(shelf, ask))
    after = read(model, names)
    update = subtract(after, before)
    if model.stacks:
        update |= {name: value for name, value in after.items() if name.endswith((A, B))}
    check_finite(update)
    return Answered({"steps": steps}, {"update": to_bytes(update)}, private)


@handles(Validate)
def _validate(body: Validate, _: Ask, shelf: Shelf, private: Private, objects: Open) -> Answered:
    data = shelf.part("validation")
    load(shelf.model, from_bytes(objects(body.state)))
    return Answered({"n": len(data), "loss": decimal(mean_loss(shelf.model, data))}, {}, private)


@handles(Gradient)
def _gradient(body: Gradient, _: Ask, shelf: Shelf, private: Private, objects: Open) -> Answered:
    data = shelf.part("validation")
    start, end = from_bytes(objects(body.start)), from_bytes(objects(body.end))
    gradient = gradient_along(shelf.model, data, start, end, points=body.points)
    return Answered({"n": len(data)}, {"gradient": to_bytes(gradient)}, private)


@handles(Alone)
def _alone(body: Alone, ask: Ask, shelf: Shelf, private: Private, objects: Open) -> Answered:
    model, plan = shelf.model, shelf.plan
    data = shelf.part("train")
    state = from_bytes(objects(body.start))
    load(model, state)
    if model.stacks:
        fresh_adapter(model, PublicRng(plan.seed, ask.place.run, 1, shelf.member, "adapter"))
    span = Span(1, body.rounds, plan.rounds)
    names = trained_names(model, "all")
    steps = learn(model, data, names, craft=plan.craft, span=span, seed=_seed(shelf, ask))
    return Answered({"steps": steps}, {}, {**private, "alone": read(model)})


@handles(Evaluate)
def _evaluate(body: Evaluate, ask: Ask, shelf: Shelf, private: Private, objects: Open) -> Answered:
    """Federated beside alone on the test part; an auditor, who trains nothing, measures the federated model only."""
    model = shelf.model
    data, examples = shelf.part("test"), shelf.parts["test"]
    arms: dict[str, Any] = {}
    state = from_bytes(objects(body.state))
    load(model, state)
    arms["federated"] = counts_of(model, data, examples)
    if shelf.parts.get("train"):
        if "alone" not in private:
            raise RunError("answer.nothing-alone", member=shelf.member)
        load(model, from_bytes(objects(body.start)))
        put_back(model, private["alone"])
        arms["alone"] = counts_of(model, data, examples)
    rng = PublicRng(shelf.plan.seed, ask.place.run, shelf.member, "bootstrap")
    drawn = bootstrap(arms, rng, replicates=body.replicates, groups=model.task.groups(examples))
    replicates = {arm: torch.from_numpy(counts).contiguous() for arm, counts in drawn.items()}
    totals = {
        arm: {name: int(value) for name, value in zip(model.task.count_names, counts.sum(axis=0), strict=True)}
        for arm, counts in arms.items()
    }
    said = {"n": len(data), "state": digest(state), "counts": totals}
    return Answered(said, {"replicates": to_bytes(replicates)}, private)


def put_back(model: Model, alone: State) -> None:
    """Put a model that a member trained alone back into the network: its own factors and head."""
    with torch.no_grad():
        for name, value in alone.items():
            model.trained[name].copy_(value)


def counts_of(model: Model, data: Prepared, examples: tuple[Any, ...]) -> Any:
    """Sufficient counts of each example under the model as it stands: int64, (examples, counts)."""
    rows = [
        model.task.counts(logits, batch, [examples[i] for i in chosen])
        for chosen, batch, logits in logits_of(model, data)
    ]
    return np.concatenate(rows)

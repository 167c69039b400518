"""Search: which settings of an accord may be tried out, in how many trials, and what one trial is."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from foedus.records.base import Bool, ListOf, Positive, Rate, Record, Text, decimal, refused

__all__ = ["Dimension", "Trial", "Tunable", "Tune", "tuned", "whole_numbers"]

Tunable = Literal[
    "aggregation.outer.learning_rate",
    "aggregation.outer.momentum",
    "training.craft.accumulation",
    "training.craft.batch_size",
    "training.craft.clip_norm",
    "training.craft.epochs",
    "training.craft.head_learning_rate",
    "training.craft.learning_rate",
    "training.craft.max_steps",
    "training.craft.schedule",
    "training.craft.warmup_bp",
    "training.craft.weight_decay",
]
"""The clauses that a search may set: how members train, and the outer step. None of them changes what the state is."""

_WHOLE = ("accumulation", "batch_size", "epochs", "max_steps", "warmup_bp")


def whole_numbers(path: str) -> bool:
    """Whether the clause takes whole numbers only."""
    return path.rpartition(".")[2] in _WHOLE


class Trial(Record):
    """One trial of a search: its number, and the value of every dimension by the clause's path."""

    number: Positive
    settings: dict[Text, Text]


class Dimension(Record):
    """One clause that a search sets: between `low` and `high` (on a logarithmic scale with `log`), or one of
    `choices`.
    """

    path: Tunable
    low: Rate | None = None
    high: Rate | None = None
    log: Bool = False
    choices: ListOf[Text] = ()

    @model_validator(mode="after")
    def _is_a_range_or_a_list(self) -> Dimension:
        if bool(self.choices) == (self.low is not None or self.high is not None):
            raise refused("range-or-choices", "expected either `low` and `high`, or `choices`")
        if self.choices:
            if self.log or len(set(self.choices)) < len(self.choices):
                raise refused("choices", "expected choices that differ, and no `log` beside them")
            return self
        range_ = {"low": self.low or "–", "high": self.high or "–"}
        if self.low is None or self.high is None or not Fraction(self.low) < Fraction(self.high):
            raise refused("range", "expected `low` below `high`, got {low} and {high}", **range_)
        if self.log and Fraction(self.low) <= 0:
            raise refused("range-log", "expected `low` above 0 for a logarithmic scale, got {low}", **range_)
        if self.path == "training.craft.schedule":
            raise refused("range-of-words", "expected `choices` for a schedule")
        if whole_numbers(self.path) and not (_is_whole(self.low) and _is_whole(self.high)):
            raise refused("range-whole", "expected whole numbers, got {low} and {high}", **range_)
        return self

    def holds(self, value: str) -> bool:
        """Whether a value lies in this dimension, in its one spelling."""
        if self.choices:
            return value in self.choices
        try:
            spelt = decimal(value) == value and (not whole_numbers(self.path) or _is_whole(value))
        except ValueError:
            return False
        return spelt and Fraction(self.low or 0) <= Fraction(value) <= Fraction(self.high or 0)


class Tune(Record):
    """A search for better settings: up to `trials` runs of `rounds` rounds each (the accord's, when null), each with
    settings from `space`; what counts is the federation's validation loss. Enforced: by the node (it trains with no
    settings but the accord's and those in the space), when folding (trials are named), by `run tune`.

    `pruning: median` ends a trial after a round in which it did worse than the median of the trials before.
    """

    trials: Annotated[Positive, Field(le=10_000)] = 10
    rounds: Annotated[Positive, Field(le=10_000)] | None = None
    space: ListOf[Dimension]
    pruning: Literal["none", "median"] = "none"

    @model_validator(mode="after")
    def _paths_are_distinct(self) -> Tune:
        paths = [one.path for one in self.space]
        if not paths or paths != sorted(set(paths)):
            said = "expected dimensions sorted by path, none twice, got {got}"
            raise refused("dimensions", said, got=", ".join(paths) or "–")
        return self

    def permits(self, trial: Trial) -> bool:
        """Whether a trial is one of this search: its number, every dimension set, every value in it."""
        named: dict[str, Dimension] = {one.path: one for one in self.space}
        return (
            trial.number <= self.trials
            and set(trial.settings) == set(named)
            and all(named[path].holds(value) for path, value in trial.settings.items())
        )


def _is_whole(value: str) -> bool:
    return Fraction(value).denominator == 1


R = TypeVar("R", bound=Record)


def tuned(record: R, where: str, trial: Trial | None) -> R:
    """A part of the accord, which stands at the clause `where`, with a trial's settings in it.

    Raises: ValueError: for a value that the part does not take.
    """
    if trial is None:
        return record
    inside = {path.removeprefix(f"{where}."): value for path, value in trial.settings.items()}
    changes = {name: value for name, value in inside.items() if name in type(record).model_fields}
    return type(record).model_validate({**record.model_dump(), **changes}, context={"yaml": True})

"""Metrics from counts: the one definition, for a member's machine, a coordinator, and a verifier without numpy.

Counts of one kind are a whole number, or an array of them, one for each replicate of a bootstrap. Arithmetic is element
by element and sums go from left to right, so a number comes out the same to the bit whichever way it was computed.

    text-classification    for each label how often it was right, predicted and true
        accuracy           Σ right / Σ true
        macro-f1           the mean of 2·right / (predicted + true) over the labels that were predicted or true at
                           least once (as scikit-learn's `f1_score(average="macro")` takes them)
    token-classification   entities found with both ends and type right, predicted, true; words with the right tag,
                           words
        entity-f1          2·right / (predicted + true)
        token-accuracy     words with the right tag / words

A metric that has nothing to count is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, assert_never

from foedus.records import terms

__all__ = ["ARMS", "Placed", "Total", "count_names", "figures_of", "impossible", "metrics_of"]

ARMS = ("federated", "alone")
"""The models that a member counts under: the federated one, and its own where it trained one."""

Total = Any
"""A whole number, or an array of them."""

_MOST = 1 << 53  # whole numbers up to here are exact in float64


class Placed(NamedTuple):
    """A metric with its place in an examination; `member` None: over all members that trained."""

    arm: str
    member: str | None
    metric: str
    value: Total


def count_names(task: terms.Task) -> tuple[str, ...]:
    """What is counted for a task, in order."""
    match task:
        case terms.TextClassification():
            return tuple(f"{what}/{label}" for what in ("right", "predicted", "true") for label in task.labels)
        case terms.TokenClassification():
            return ("right", "predicted", "true", "words-right", "words")
        case _:
            assert_never(task)


def metrics_of(task: terms.Task, counts: Iterable[Total]) -> dict[str, Total]:
    """Every metric of a task from its summed counts, in the order of `count_names`."""
    found = tuple(counts)
    match task:
        case terms.TextClassification():
            right, predicted, true = _thirds(found)
            both = [p + t for p, t in zip(predicted, true, strict=True)]
            f1 = sum(_ratio(2 * r, b) for r, b in zip(right, both, strict=True))
            return {"accuracy": _ratio(sum(right), sum(true)), "macro-f1": _ratio(f1, sum(b > 0 for b in both))}
        case terms.TokenClassification():
            entities, predicted_, true_, words_right, words = found
            return {
                "entity-f1": _ratio(2 * entities, predicted_ + true_),
                "token-accuracy": _ratio(words_right, words),
            }
        case _:
            assert_never(task)


def figures_of(task: terms.Task, members: Mapping[str, Mapping[str, Sequence[Total]]]) -> list[Placed]:
    """The estimates that an examination consists of, in its order. `members`: member → arm → counts.

    First over all members that trained, then each member by name; in each place every metric, federated, alone, and
    the difference federated minus alone. Who has no model of its own (an auditor) is listed by itself and does not
    enter the figures over all members.
    """
    groups: list[tuple[str | None, Mapping[str, Sequence[Total]]]] = [(name, members[name]) for name in sorted(members)]
    trained = [arms for _, arms in groups if "alone" in arms]
    if trained:
        together = {arm: [sum(column) for column in zip(*(arms[arm] for arms in trained), strict=True)] for arm in ARMS}
        groups.insert(0, (None, together))
    found = []
    for member, arms in groups:
        values = {arm: metrics_of(task, arms[arm]) for arm in ARMS if arm in arms}
        for metric in task.metrics:
            found += [Placed(arm, member, metric, value[metric]) for arm, value in values.items()]
            if "alone" in values:
                difference = values["federated"][metric] - values["alone"][metric]
                found.append(Placed("difference", member, metric, difference))
    return found


def impossible(task: terms.Task, n: int, counts: Sequence[int]) -> str | None:
    """Why no test part of `n` examples gives these counts; None where one can."""
    if len(counts) != len(count_names(task)) or not all(0 <= count <= _MOST for count in counts):
        return f"expected {len(count_names(task))} counts from 0 to 2**53"
    match task:
        case terms.TextClassification():
            right, predicted, true = _thirds(counts)
            if not sum(predicted) == sum(true) == n:
                return f"{n} examples, {sum(true)} true labels and {sum(predicted)} predicted ones"
        case terms.TokenClassification():
            right, predicted, true = counts[:1], counts[1:2], counts[2:3]
            if counts[3] > counts[4]:
                return "more words right than there are"
        case _:
            assert_never(task)
    if any(r > min(p, t) for r, p, t in zip(right, predicted, true, strict=True)):
        return "more right than predicted or true"
    return None


def _thirds(counts: Sequence[Total]) -> tuple[Sequence[Total], Sequence[Total], Sequence[Total]]:
    size = len(counts) // 3
    return counts[:size], counts[size : 2 * size], counts[2 * size :]


def _ratio(part: Total, whole: Total) -> Total:
    """0 where the whole is 0: then the part is too."""
    return part / (whole + (whole == 0))

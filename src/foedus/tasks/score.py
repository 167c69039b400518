"""Scoring: entities from tags, tags from entities, and the bootstrap over examples or documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from foedus.core.rng import PublicRng
from foedus.data.examples import Example, Span, chunks
from foedus.tasks.base import Counts

__all__ = ["bootstrap", "spans_of", "tags_of"]

Arm = TypeVar("Arm", bound=str)
_DRAWS_AT_ONCE = 1 << 20


def spans_of(tags: Sequence[str]) -> list[Span]:
    """The entities of predicted tags, well formed or not, by the rule of conlleval (seqeval's default mode)."""
    return chunks(tags)


def tags_of(example: Example) -> list[str]:
    """The B-, I- and O tags of an example's entities, one a token."""
    tags = ["O"] * len(example.tokens)
    for start, end, kind in example.spans:
        tags[start:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - start - 1)]
    return tags


def bootstrap(
    arms: Mapping[Arm, Counts],
    rng: PublicRng,
    *,
    replicates: int,
    groups: Sequence[str] | None = None,
) -> dict[Arm, Counts]:
    """Summed counts of each replicate, for each arm: (examples, k) → (replicates, k).

    Each replicate draws as many examples as there are, with replacement, and the same ones for every arm: differences
    of arms are paired. With `groups` whole groups are drawn, since the examples of one document are not independent.
    The draws are NumPy's PCG64 seeded with `rng.seed63()`.
    """
    names = list(arms)
    counts = np.concatenate([arms[name] for name in names], axis=1)  # (examples, arms · k)
    if groups is not None:
        _, index = np.unique(np.asarray(groups), return_inverse=True)
        summed = np.zeros((int(index.max()) + 1, counts.shape[1]), dtype=np.int64)
        np.add.at(summed, index, counts)
        counts = summed
    units = len(counts)
    generator = np.random.Generator(np.random.PCG64(rng.seed63()))
    # Whole numbers below 2**53: products in float64 are exact in any order, and much faster than in int64.
    exact = counts.astype(np.float64)
    out = np.empty((replicates, counts.shape[1]), dtype=np.int64)
    step = max(1, _DRAWS_AT_ONCE // units)
    for start in range(0, replicates, step):
        times = np.stack(
            [
                np.bincount(generator.integers(0, units, size=units), minlength=units)
                for _ in range(min(step, replicates - start))
            ]
        )  # (some replicates, units)
        out[start : start + step] = times.astype(np.float64) @ exact
    ends = np.cumsum([arms[name].shape[1] for name in names])[:-1]
    return dict(zip(names, np.split(out, ends, axis=1), strict=True))

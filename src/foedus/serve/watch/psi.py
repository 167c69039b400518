"""Population stability index: how far the shares of bins have moved, with a p-value by random re-division.

PSI = sum over bins of (q - p) · ln(q / p), the symmetric Kullback-Leibler (Jeffreys) divergence of two histograms.
By convention (S. Siddiqi, Credit Risk Scorecards, Wiley 2006, ch. 9) below 0.1 is stable and above 0.25 a shift; but
for two samples from one distribution it is about chi-squared with B - 1 degrees of freedom, times 1/n + 1/m (B.
Yurdakul and J. Naranjo, Statistical properties of the population stability index, J. Risk Model Validation 14, 2020),
so that with many bins and few answers the convention is passed by chance. Hence the p-value: the pooled answers
divided anew, many times, into two samples of the same sizes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moved", "bin_edges", "binned", "psi", "psi_test"]

Counts = NDArray[np.int64]
Values = NDArray[np.float64]


class Moved(NamedTuple):
    """A statistic and how probable one at least as large is where nothing moved."""

    statistic: float
    p: float


def psi(reference: Counts, recent: Counts) -> float:
    """The index of two histograms over the same bins, counts as (bins,); 0 where their shares are the same.

    Half an answer is added to each bin (Jeffreys' prior), so that an empty bin does not make it infinite.
    """
    return float(_psi(np.asarray(reference, dtype=np.float64), np.asarray(recent, dtype=np.float64)))


def _psi(reference: Values, recent: Values) -> Values:
    """Over the last axis; leading axes are re-divisions."""
    p, q = ((counts + 0.5) / (counts.sum(-1, keepdims=True) + 0.5 * counts.shape[-1]) for counts in (reference, recent))
    moved: Values = ((q - p) * np.log(q / p)).sum(-1)
    return moved


def psi_test(reference: Counts, recent: Counts, *, rng: np.random.Generator, draws: int) -> Moved:
    """The index and its p-value from `draws` re-divisions; never below 1 / (draws + 1)."""
    reference, recent = np.asarray(reference, dtype=np.int64), np.asarray(recent, dtype=np.int64)
    found, pooled = psi(reference, recent), reference + recent
    held = pooled > 0
    pooled, empty = pooled[held], int((~held).sum())
    drawn = rng.multivariate_hypergeometric(pooled, int(recent.sum()), size=draws)  # (draws, bins)
    left = np.zeros((draws, empty))
    again = _psi(np.hstack([pooled - drawn, left]), np.hstack([drawn, left]))
    return Moved(found, (1 + int((again >= found - 1e-12).sum())) / (draws + 1))


def bin_edges(values: Values, bins: int = 10) -> Values:
    """The inner edges that cut values into at most `bins` parts of like size; fewer where many values are the same."""
    quantiles = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1], method="higher")
    return np.unique(quantiles)


def binned(values: Values, edges: Values) -> Counts:
    """How many values lie in each part that the edges cut; a value on an edge is above it."""
    counts: Counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return counts

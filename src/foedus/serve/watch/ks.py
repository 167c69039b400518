"""The two-sample Kolmogorov-Smirnov test: the largest gap between two empirical distributions.

F. J. Massey, The Kolmogorov-Smirnov test for goodness of fit, JASA 46, 1951. The p-value is the limiting
distribution's with M. A. Stephens' correction for finite samples (JRSS B 32, 1970). Where values repeat it is too large
rather than too small: the test then finds less, and gives no more false alarms.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from foedus.serve.watch.psi import Moved

__all__ = ["ks"]


def ks(reference: NDArray[np.float64], recent: NDArray[np.float64]) -> Moved:
    """The gap, 0 to 1, and its p-value. Both samples hold at least one value."""
    a, b = np.sort(reference), np.sort(recent)
    everywhere = np.concatenate([a, b])
    below = np.searchsorted(a, everywhere, side="right") / len(a) - np.searchsorted(b, everywhere, side="right") / len(
        b
    )
    gap = float(np.abs(below).max())
    size = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    return Moved(gap, kolmogorov((size + 0.12 + 0.11 / size) * gap))


def kolmogorov(x: float) -> float:
    """The probability that Kolmogorov's limiting statistic exceeds x."""
    if x < 0.2:  # the series converges slowly there, and what it leaves of 1 is below 1e-12
        return 1.0
    terms = [(-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, 101)]
    return min(1.0, max(0.0, 2 * math.fsum(terms)))

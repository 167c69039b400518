"""Maximum mean discrepancy: whether two samples of vectors come from one distribution, by kernel means.

A. Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012: the unbiased estimate of MMD² (eq. 3) with a Gaussian
kernel, its width the median distance of the pooled sample (§8), and a p-value from permutations of the pooled sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foedus.serve.watch.psi import Moved

__all__ = ["kernel", "mmd", "mmd_test"]

Vectors = NDArray[np.float64]
_BLOCK = 512


def kernel(vectors: Vectors) -> Vectors:
    """exp(-d² / 2w²) for each pair, (n, d) → (n, n), with w the median of the distances that are not 0."""
    norms = (vectors**2).sum(1)
    squares = np.maximum(norms[:, None] + norms[None, :] - 2 * vectors @ vectors.T, 0.0)
    apart = squares[np.triu_indices(len(vectors), 1)]
    apart = apart[apart > 1e-12]
    width = float(np.median(apart)) if len(apart) else 1.0
    similar: Vectors = np.exp(-squares / (2 * width))
    return similar


def mmd(reference: Vectors, recent: Vectors) -> float:
    """The unbiased estimate of MMD² of two samples, (n, d) and (m, d); about 0, also below, for one distribution."""
    k = kernel(np.vstack([reference, recent]))
    chosen = np.zeros((1, len(k)))
    chosen[0, len(reference) :] = 1
    return float(_mmd(k, chosen, len(recent))[0])


def mmd_test(reference: Vectors, recent: Vectors, *, rng: np.random.Generator, draws: int) -> Moved:
    """MMD² and its p-value from `draws` permutations; never below 1 / (draws + 1)."""
    k = kernel(np.vstack([reference, recent]))
    total, count = len(k), len(recent)
    observed = np.zeros((1, total))
    observed[0, total - count :] = 1
    found, larger = float(_mmd(k, observed, count)[0]), 0
    for start in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - start)
        chosen = np.zeros((size, total))
        order = rng.permuted(np.broadcast_to(np.arange(total), (size, total)), axis=1)
        np.put_along_axis(chosen, order[:, :count], 1.0, axis=1)
        larger += int((_mmd(k, chosen, count) >= found - 1e-12).sum())
    return Moved(found, (1 + larger) / (draws + 1))


def _mmd(k: Vectors, chosen: Vectors, count: int) -> Vectors:
    """MMD² of each division: `chosen` marks in each row the `count` vectors of the recent sample, (draws, n)."""
    rest = len(k) - count
    rows, diagonal = k.sum(0), np.diag(k)
    near = np.einsum("ij,ij->i", chosen @ k, chosen)  # sums of the kernel within the recent sample
    across = chosen @ rows - near
    whole = float(k.sum())
    other = whole - near - 2 * across
    own, others = chosen @ diagonal, float(diagonal.sum()) - chosen @ diagonal
    found: Vectors = (
        (near - own) / (count * (count - 1)) + (other - others) / (rest * (rest - 1)) - 2 * across / (count * rest)
    )
    return found

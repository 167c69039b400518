"""Products of low rank that are equal to the bit anywhere, and the best adapter of a given rank.

Matrix multiplication adds in an order that the library chooses by processor and size. Here rank-1 terms are added in
the order of the rank index, multiply and add apart, in float64; the product of two float32 numbers is exact there, so
only the additions round, and the result is rounded to float32 once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from foedus.core.errors import CallerError
from foedus.state.tensors import norm

__all__ = ["Truncated", "product", "sum_of_products", "truncate"]


class Truncated(NamedTuple):
    """B · A ≈ delta. `residual_norm` is the Frobenius norm of delta - B · A, of the factors as rounded to float32."""

    b: torch.Tensor  # (out, rank)
    a: torch.Tensor  # (rank, in)
    residual_norm: float


def product(b: torch.Tensor, a: torch.Tensor, *, scale: float = 1.0) -> torch.Tensor:
    """The product scale · B · A in float32, for B (out, rank) and A (rank, in).

    Raises:
        CallerError: `state.not-factors` when the shapes do not fit.
    """
    return sum_of_products([(b, a, scale)])


def sum_of_products(terms: Iterable[tuple[torch.Tensor, torch.Tensor, float]]) -> torch.Tensor:
    """The sum of scale · B · A over terms (B, A, scale), in the order given, rounded once to float32.

    Ranks may differ; (out, in) may not. Each term is used before the next is asked for.

    Raises:
        CallerError: `state.not-factors` when shapes do not fit or there is no term.
    """
    total: torch.Tensor | None = None
    for b, a, scale in terms:
        shape = (b.shape[0], a.shape[-1]) if b.dim() == a.dim() == 2 and b.shape[1] == a.shape[0] else None
        if shape is None or (total is not None and shape != total.shape):
            raise CallerError("state.not-factors", b=list(b.shape), a=list(a.shape))
        if total is None:
            total = torch.zeros(shape, dtype=torch.float64)
        term = _outer_sum(b.to(torch.float64), a.to(torch.float64))
        term *= scale
        total += term
    if total is None:
        raise CallerError("state.not-factors", b="–", a="–")
    return total.to(torch.float32)


def truncate(delta: torch.Tensor, rank: int) -> Truncated:
    """The factors of this rank nearest to delta (out, in): its leading singular values (Eckart and Young, 1936).

    B = U·√S and A = √S·Vᵀ, signs so that the largest entry of each column of B is positive. Where `rank` exceeds the
    smaller side, the factors are padded with zeros. Equal bits on one machine; the decomposition is the library's, so
    another processor may differ in the last digits, and columns of equal singular values in more. A release made with
    it is therefore checked by its digest, not computed again.

    Raises:
        CallerError: `state.bad-rank` for a rank below 1, `state.not-factors` when delta is no matrix.
    """
    if rank < 1:
        raise CallerError("state.bad-rank", got=rank)
    if delta.dim() != 2:
        raise CallerError("state.not-factors", b=list(delta.shape), a="–")
    u, s, vt = torch.linalg.svd(delta.to(torch.float64), full_matrices=False)
    kept = min(rank, len(s))
    u, s, vt = u[:, :kept], s[:kept], vt[:kept]
    largest = u.abs().argmax(dim=0)  # (kept,)
    sign = torch.where(u[largest, torch.arange(kept)] < 0, -1.0, 1.0).to(torch.float64)
    root = s.sqrt()
    b = torch.zeros(delta.shape[0], rank)
    a = torch.zeros(rank, delta.shape[1])
    b[:, :kept] = u * (sign * root)
    a[:kept] = vt * (sign * root).unsqueeze(1)
    rest = delta.to(torch.float64) - _outer_sum(b.to(torch.float64), a.to(torch.float64))
    return Truncated(b, a, norm({"rest": rest}))


def _outer_sum(b: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """B · A, rank-1 terms in order of the rank index."""
    total = torch.zeros(b.shape[0], a.shape[1], dtype=b.dtype)
    for k in range(b.shape[1]):
        total += b[:, k, None] * a[None, k, :]
    return total

"""Named tensors: their digest, their one byte form, and low-rank products that are equal to the bit anywhere."""

from __future__ import annotations

from foedus.state.lowrank import Truncated, product, sum_of_products, truncate
from foedus.state.store import from_bytes, to_bytes
from foedus.state.tensors import (
    State,
    add,
    check_alike,
    check_finite,
    digest,
    dot,
    hash_tensor,
    norm,
    scale,
    subtract,
    zeros_like,
)

__all__ = [
    "State",
    "Truncated",
    "add",
    "check_alike",
    "check_finite",
    "digest",
    "dot",
    "from_bytes",
    "hash_tensor",
    "norm",
    "product",
    "scale",
    "subtract",
    "sum_of_products",
    "to_bytes",
    "truncate",
    "zeros_like",
]

"""No work on padding: a batch goes through the layers as one row of its real tokens.

Linear layers, norms and activations then compute real tokens only; the attention function registered here puts the
padding back just around the attention product, so each example still sees itself alone. Where a head reads the first
token only, the last layer's feed-forward part is computed for first tokens only. transformers takes such a function
by name. Hidden states agree with the padded computation to 1e-6 (tested); dropout draws other values than on padded
tensors.

Holds for encoders whose attention goes through transformers' interface; `Model` decides where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows

from foedus.core.loading import uncollected

with uncollected():
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

__all__ = ["NAME", "PackedRow"]

NAME = "foedus_packed"
"""The attention implementation to load a model with."""


class PackedRow:
    """Where the real tokens of a batch lie. `mask`: (batch, longest), 1 for real tokens, which come first in each
    row.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        self.batch, self.longest = mask.shape
        self.keep = mask.reshape(-1).nonzero().squeeze(1)  # (tokens,)
        self.starts = mask.sum(1).cumsum(0) - mask.sum(1)  # (batch,) where each example begins in the row
        self.bias: torch.Tensor | None = None  # (batch, 1, 1, longest); None where nothing is padded
        if len(self.keep) < mask.numel():
            self.bias = torch.zeros(self.batch, 1, 1, self.longest).masked_fill(mask[:, None, None, :] == 0, -torch.inf)

    def packed(self, padded: torch.Tensor) -> torch.Tensor:
        """(batch, longest, width) → (1, tokens, width)."""
        flat = padded.reshape(self.batch * self.longest, -1)
        return (flat if self.bias is None else flat[self.keep])[None]

    def spread(self, rows: torch.Tensor) -> torch.Tensor:
        """(tokens, …) → (batch, longest, …), zeros on padding."""
        if self.bias is None:  # all as long: the row is the batch already
            return rows.reshape(self.batch, self.longest, *rows.shape[1:])
        flat = rows.new_zeros(self.batch * self.longest, *rows.shape[1:]).index_copy(0, self.keep, rows)
        return flat.view(self.batch, self.longest, *rows.shape[1:])

    def unpacked(self, row: torch.Tensor) -> torch.Tensor:
        """(1, tokens, width) → (batch, longest, width)."""
        return self.spread(row[0])

    def first(self, row: torch.Tensor) -> torch.Tensor:
        """(1, tokens, width) → (1, batch, width): each example's first token."""
        return row[:, self.starts]

    @staticmethod
    def alone(row: torch.Tensor) -> torch.Tensor:
        """(1, batch, width) → (batch, 1, width): one token an example."""
        return row.transpose(0, 1)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Attention computed in here is over this batch."""
        token = _row.set(self)
        try:
            yield
        finally:
            _row.reset(token)


_row: ContextVar[PackedRow] = ContextVar("foedus_packed_row")


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,  # (1, heads, tokens, dim)
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    row = _row.get()
    q, k, v = (row.spread(x[0].transpose(0, 1)).transpose(1, 2) for x in (query, key, value))
    with torch.autocast("cpu", enabled=False):  # its backward pass in bfloat16 takes ten times that in float32
        out = F.scaled_dot_product_attention(
            q.float(), k.float(), v.float(), attn_mask=row.bias, dropout_p=dropout if module.training else 0.0,
            scale=scaling, enable_gqa=key.shape[1] != query.shape[1],
        ).to(query.dtype)  # fmt: skip
    heads, dim = query.shape[1], query.shape[3]
    flat = out.transpose(1, 2).reshape(-1, heads, dim)
    return (flat if row.bias is None else flat[row.keep])[None], None


def _no_mask(*_: Any, **__: Any) -> None:
    """Padding is no part of the row; what attention needs to know of it stands in the row's bias."""


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _no_mask)

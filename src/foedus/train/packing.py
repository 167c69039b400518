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
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the name that everybody knows

from foedus.core.loading import put_off, uncollected

with uncollected(), put_off("scipy.optimize"):  # transformers wants it for a loss of object detection
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

__all__ = ["NAME", "PackedRow"]

NAME = "foedus_packed"
"""The attention implementation to load a model with."""

GROUP = 4
"""Examples that are padded to one length for the attention product."""

ROUND = 64
"""In bfloat16 a row is filled up with empty tokens to a multiple of so many: a product of each new shape is compiled
first, and what was compiled is kept, so that steps would be slow, and memory grow, with every new number of tokens.
"""


class _Padded:
    """Examples beside each other in the row, of lengths so near that padding them to one costs little.

    `tokens`: how many they have. `bias`: (examples, 1, 1, longest), -inf on padding; None where there is none.
    """

    def __init__(self, lengths: torch.Tensor) -> None:
        self.count, self.longest, self.tokens = len(lengths), int(lengths.max()), int(lengths.sum())
        mask = torch.arange(self.longest) < lengths[:, None]  # (examples, longest)
        self.keep = mask.reshape(-1).nonzero().squeeze(1)
        self.bias: torch.Tensor | None = None
        if len(self.keep) < mask.numel():
            self.bias = torch.zeros(self.count, 1, 1, self.longest).masked_fill(~mask[:, None, None, :], -torch.inf)

    def spread(self, rows: torch.Tensor) -> torch.Tensor:
        """(tokens, …) → (examples, longest, …), zeros on padding."""
        shape = rows.shape[1:]
        if self.bias is not None:
            rows = rows.new_zeros(self.count * self.longest, *shape).index_copy_(0, self.keep, rows)
        return rows.reshape(self.count, self.longest, *shape)

    def gathered(self, padded: torch.Tensor) -> torch.Tensor:
        """(examples, longest, …) → (tokens, …)."""
        flat = padded.reshape(self.count * self.longest, *padded.shape[2:])
        return flat if self.bias is None else flat.index_select(0, self.keep)


class PackedRow:
    """Where the real tokens of a batch lie: the examples one after the other, the shortest first. `mask`: (batch,
    longest), 1 for real tokens, which come first in each row. `spare`: empty tokens at the end, under autocast.
    """

    def __init__(self, mask: torch.Tensor) -> None:
        self.batch, self.longest = mask.shape
        if self.batch == 1:
            self.lengths, self.keep = mask.sum(1), torch.arange(int(mask.sum()))
            self.starts = torch.zeros(1, dtype=torch.int64)
            self.spare = _spare(len(self.keep))
            return
        lengths, order = mask.sum(1).sort(stable=True)
        places = torch.arange(mask.numel()).view(mask.shape)[order]
        self.keep = places[mask[order] != 0]  # (tokens,) where each token of the row lies in the flattened batch
        ends = lengths.cumsum(0)
        self.starts = torch.empty_like(ends).scatter(0, order, ends - lengths)  # (batch,) where each example begins
        self.lengths, self.spare = lengths, _spare(len(self.keep))

    @cached_property
    def groups(self) -> list[_Padded]:
        """The examples by so many at a time; attention pads each group to its own longest."""
        return [_Padded(some) for some in torch.split(self.lengths, GROUP)]

    def cut(self, row: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(tokens, …) → the tokens of each group, and the spare ones. Cut at once, it is put together at once in the
        backward pass.
        """
        return torch.split(row, [*(group.tokens for group in self.groups), self.spare])

    def packed(self, padded: torch.Tensor) -> torch.Tensor:
        """(batch, longest, width) → (1, tokens, width)."""
        return self._filled(padded.reshape(self.batch * self.longest, -1)[self.keep])[None]

    def ordered(self, rows: torch.Tensor) -> torch.Tensor:
        """(tokens, width) with the examples as they stand in the batch → the same in the row's order."""
        return self._filled(rows[self.keep.argsort().argsort()])

    def restored(self, row: torch.Tensor) -> torch.Tensor:
        """(tokens, width) in the row's order → the same with the examples as they stand in the batch."""
        return row[self.keep.argsort()]

    def _filled(self, row: torch.Tensor) -> torch.Tensor:
        return F.pad(row, (0, 0, 0, self.spare)) if self.spare else row

    def unpacked(self, row: torch.Tensor) -> torch.Tensor:
        """(1, tokens, width) → (batch, longest, width), zeros on padding."""
        flat = row.new_zeros(self.batch * self.longest, row.shape[-1]).index_copy(
            0, self.keep, row[0, : len(self.keep)]
        )
        return flat.view(self.batch, self.longest, -1)

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
    if row.batch == 1 and not torch.is_autocast_enabled("cpu"):  # one text alone: nothing to pad, nothing to spread
        done = F.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout if module.training else 0.0, scale=scaling,
            enable_gqa=key.shape[1] != query.shape[1],
        )  # fmt: skip
        return done.transpose(1, 2), None
    out = []
    with torch.autocast("cpu", enabled=False):  # its backward pass in bfloat16 takes ten times that in float32
        rows = [row.cut(x[0].transpose(0, 1).float()) for x in (query, key, value)]  # (tokens, heads, dim) each
        for group, *some in zip(row.groups, *rows, strict=False):  # what is spare comes after the groups
            q, k, v = (group.spread(x).transpose(1, 2) for x in some)
            done = F.scaled_dot_product_attention(
                q, k, v, attn_mask=group.bias, dropout_p=dropout if module.training else 0.0,
                scale=scaling, enable_gqa=key.shape[1] != query.shape[1],
            )  # fmt: skip
            out.append(group.gathered(done.transpose(1, 2)))
        if row.spare:
            out.append(out[0].new_zeros(row.spare, *out[0].shape[1:]))
        return torch.cat(out).to(query.dtype)[None], None


def _spare(tokens: int) -> int:
    return -tokens % ROUND if torch.is_autocast_enabled("cpu") else 0


def _no_mask(*_: Any, **__: Any) -> None:
    """Padding is no part of the row; what attention needs to know of it stands in the row's bias."""


AttentionInterface.register(NAME, _attention)
AttentionMaskInterface.register(NAME, _no_mask)

"""Batches through the network: no work on padding, and the frozen lower layers computed once for each example and kept.

Where only upper layers train, what the lower ones give for an example never changes. `lower` computes it, without
dropout; from then on the network is fed those hidden states and its lower layers hand through what they get. Covers
encoders that have `embeddings` and one stack of layers (BERT, RoBERTa, ELECTRA and kin); for others nothing is kept
and all layers are computed.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from foedus.core.errors import RunError
from foedus.tasks import Encoded
from foedus.train.model import Model
from foedus.train.packing import PackedRow

__all__ = ["Prepared", "batch_of", "forward", "prepare"]

FILL_BATCH = 32

IN_MEMORY_BYTES = 64 << 20
"""Kept hidden states of one part up to so many bytes stay in memory; larger ones lie in a temporary file (`TMPDIR`),
which is mapped, so that the system holds of it what fits and nothing of it outlives the process.
"""


@dataclass(slots=True)
class Prepared:
    """Examples ready for the network. `hidden[i]`: (tokens, width) after the frozen layers, a view of one buffer; None
    where nothing is frozen.
    """

    encoded: Sequence[Encoded]
    hidden: list[torch.Tensor] | None

    def __len__(self) -> int:
        return len(self.encoded)


class _Stop(Exception):  # noqa: N818 - a signal, not an error
    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class _HandThrough(nn.Module):
    def forward(self, hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return hidden


class _HandIn(nn.Module):
    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden

    def forward(self, *_: Any, **__: Any) -> torch.Tensor:
        return self.hidden


def prepare(model: Model, encoded: Sequence[Encoded]) -> Prepared:
    """Examples with the hidden states below the trained layers, where the model has frozen ones.

    They are computed in other batches than training makes of them, and products of another size may round another way:
    a model trained on kept layers is the one trained without to about 1e-6 of the way; to the bit on some processors.

    Raises:
        RunError: `files.cannot-write` where large ones find no room on the disk.
    """
    if not model.depth:
        return Prepared(encoded, None)
    lengths = [len(example.input_ids) for example in encoded]
    hidden = list(torch.split(_room(sum(lengths), model.net.config.hidden_size), lengths))
    order = sorted(range(len(encoded)), key=lambda i: (lengths[i], i))
    model.net.eval()
    with torch.no_grad():
        for start in range(0, len(order), FILL_BATCH):
            chosen = order[start : start + FILL_BATCH]
            rows = _below(model, _inputs(model, [encoded[i] for i in chosen]))
            for i, row in zip(chosen, torch.split(rows, [lengths[i] for i in chosen]), strict=True):
                hidden[i].copy_(row)
    return Prepared(encoded, hidden)


def _room(tokens: int, width: int) -> torch.Tensor:
    """Room for hidden states, (tokens, width), float32: in memory, or in a file that has no name any more.

    The file's room is taken at once: a mapped file that finds the disk full later ends the process without a word.
    """
    if (size := tokens * width * 4) <= IN_MEMORY_BYTES:
        return torch.empty(tokens, width)
    with tempfile.TemporaryFile() as file:
        try:
            if hasattr(os, "posix_fallocate"):  # not everywhere
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            reason = f"{size} bytes: {error.strerror or error}"
            raise RunError("files.cannot-write", path=tempfile.gettempdir(), reason=reason) from error
        return torch.from_numpy(np.memmap(file, dtype=np.float32, mode="w+", shape=(tokens, width)))


def _below(model: Model, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Hidden states of the real tokens where the trained layers begin: (tokens, width)."""
    backbone = getattr(model.net, model.net.base_model_prefix)
    row, embeddings = PackedRow(inputs["attention_mask"]), backbone.embeddings

    def stop(hidden: torch.Tensor) -> torch.Tensor:
        raise _Stop(hidden)

    last = model.depth - 1
    below = model.layers[last]
    backbone.embeddings, model.layers[last] = _Then(embeddings, row.packed), _Then(below, stop)
    try:
        with row.in_force():
            model.net(input_ids=inputs["input_ids"])
    except _Stop as stopped:
        return row.restored(stopped.hidden[0])
    finally:
        backbone.embeddings, model.layers[last] = embeddings, below
    raise AssertionError("the network ended before its trained layers")


def _inputs(model: Model, encoded: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    batch = model.task.collate(encoded, model.tokenizer.pad_token_id)
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


def batch_of(model: Model, prepared: Prepared, chosen: Sequence[int]) -> dict[str, torch.Tensor]:
    """The tensors of these examples: ids and labels, and `hidden` (real tokens, width) where lower layers are kept."""
    batch = dict(model.task.collate([prepared.encoded[i] for i in chosen], model.tokenizer.pad_token_id))
    if prepared.hidden is not None:
        batch["hidden"] = torch.cat([prepared.hidden[i] for i in chosen])
    return batch


def forward(model: Model, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of a batch."""
    mask = batch["attention_mask"]
    backbone = getattr(model.net, model.net.base_model_prefix)
    if not model.packs:
        return _logits(model.net(input_ids=batch["input_ids"], attention_mask=mask))
    row = PackedRow(mask)
    kept, depth, embeddings = list(model.layers), model.depth, backbone.embeddings
    if "hidden" in batch:
        hidden = row.ordered(batch["hidden"])[None]
        backbone.embeddings = _HandIn(hidden if depth < len(kept) else row.unpacked(hidden))
        for i in range(depth):
            model.layers[i] = _HandThrough()
    else:
        backbone.embeddings = _Then(embeddings, row.packed)
    attention = getattr(kept[-1], "attention", None)
    if depth < len(kept) or "hidden" not in batch:
        if model.reads_first and attention is not None:
            kept[-1].attention = _Then(attention, lambda given: (row.first(given[0]), *given[1:]))
            model.layers[-1] = _Then(kept[-1], row.alone)
        else:
            model.layers[-1] = _Then(kept[-1], row.unpacked)
    try:
        with row.in_force():
            return _logits(model.net(input_ids=batch["input_ids"]))
    finally:
        backbone.embeddings = embeddings
        if attention is not None:
            kept[-1].attention = attention
        for i, layer in enumerate(kept):
            model.layers[i] = layer


class _Then(nn.Module):
    """A module, and something done to what it gives."""

    def __init__(self, module: nn.Module, then: Callable[[Any], Any]) -> None:
        super().__init__()
        self.module, self.then = module, then

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.then(self.module(*args, **kwargs))


def _logits(output: Any) -> torch.Tensor:
    logits = output.logits
    assert isinstance(logits, torch.Tensor)  # noqa: S101 - every task class gives logits
    return logits

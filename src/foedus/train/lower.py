"""The frozen lower layers, computed once for each example and kept.

Where only upper layers train, what the lower ones give for an example never changes. `lower` computes it, without
dropout; from then on the network is fed those hidden states and its lower layers hand through what they get. Covers
encoders that have `embeddings` and one stack of layers (BERT, RoBERTa, ELECTRA and kin); for others nothing is kept
and all layers are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from foedus.tasks import Encoded
from foedus.train.model import Model

__all__ = ["Prepared", "batch_of", "forward", "prepare"]

FILL_BATCH = 32


@dataclass(slots=True)
class Prepared:
    """Examples ready for the network. `hidden[i]`: (tokens, width) after the frozen layers; None where nothing is
    frozen.
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
    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> torch.Tensor:
        return inputs_embeds


def prepare(model: Model, encoded: Sequence[Encoded]) -> Prepared:
    """Examples with the hidden states below the trained layers, where the model has frozen ones."""
    if not model.depth:
        return Prepared(encoded, None)
    hidden: list[torch.Tensor] = [torch.empty(0)] * len(encoded)
    order = sorted(range(len(encoded)), key=lambda i: (len(encoded[i].input_ids), i))
    model.net.eval()
    handle = _watch(model)
    try:
        with torch.no_grad():
            for start in range(0, len(order), FILL_BATCH):
                chosen = order[start : start + FILL_BATCH]
                batch = _inputs(model, [encoded[i] for i in chosen])
                for row, i in zip(_run(model, batch), chosen, strict=True):
                    hidden[i] = row[: len(encoded[i].input_ids)].clone()
    finally:
        handle.remove()
    return Prepared(encoded, hidden)


def _watch(model: Model) -> Any:
    """Stop the network where the trained layers begin (or, with all layers frozen, after the last)."""

    def before(_module: nn.Module, args: tuple[Any, ...]) -> None:
        raise _Stop(args[0])

    def after(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        raise _Stop(output if isinstance(output, torch.Tensor) else output[0])

    if model.depth == len(model.layers):
        return model.layers[-1].register_forward_hook(after)
    return model.layers[model.depth].register_forward_pre_hook(before)


def _run(model: Model, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    try:
        model.net(**inputs)
    except _Stop as stop:
        return stop.hidden
    raise AssertionError("the network ended before its trained layers")


def _inputs(model: Model, encoded: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    batch = model.task.collate(encoded, model.tokenizer.pad_token_id)
    return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


def batch_of(model: Model, prepared: Prepared, chosen: Sequence[int]) -> dict[str, torch.Tensor]:
    """The tensors of these examples: ids and labels, and `hidden` (batch, longest, width) where lower layers are
    kept.
    """
    batch = dict(model.task.collate([prepared.encoded[i] for i in chosen], model.tokenizer.pad_token_id))
    if prepared.hidden is not None:
        rows = [prepared.hidden[i] for i in chosen]
        batch["hidden"] = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return batch


def forward(model: Model, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of a batch."""
    if "hidden" not in batch:
        return _logits(model.net(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]))
    backbone = getattr(model.net, model.net.base_model_prefix)
    embeddings, lower = backbone.embeddings, list(model.layers[: model.depth])
    backbone.embeddings = _HandIn()
    for i in range(model.depth):
        model.layers[i] = _HandThrough()
    try:
        return _logits(model.net(inputs_embeds=batch["hidden"], attention_mask=batch["attention_mask"]))
    finally:
        backbone.embeddings = embeddings
        for i, layer in enumerate(lower):
            model.layers[i] = layer


def _logits(output: Any) -> torch.Tensor:
    logits = output.logits
    assert isinstance(logits, torch.Tensor)  # noqa: S101 - every task class gives logits
    return logits

"""A model with its linear layers in int8: weights rounded once, a scale for each row; inputs rounded batch by batch
(dynamic quantisation). Smaller and often faster on a processor; whether it answers the same is measured, never assumed.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from foedus.core.errors import CallerError
from foedus.serve.files import rows_of
from foedus.serve.predict import Predictor, Question
from foedus.train.model import finished

__all__ = ["Agreement", "compare", "in_int8"]

BATCH = 32


class _Int8(nn.Module):
    """A linear layer whose weight is int8, one scale an output."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(1) / 127).clamp(min=torch.finfo(torch.float32).eps).double()
        zeros = torch.zeros(len(scales), dtype=torch.int64)
        with warnings.catch_warnings():  # torch means to replace this kind of tensor; the product has no other way yet
            warnings.filterwarnings("ignore", category=UserWarning, message=".*quantize")
            rounded = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
            self.packed = torch.ops.quantized.linear_prepack(rounded, linear.bias)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        # One bit less for the inputs: products of full int8 overflow on processors without VNNI.
        rounded: torch.Tensor = torch.ops.quantized.linear_dynamic(rows, self.packed, reduce_range=True)
        return rounded


def in_int8(predictor: Predictor) -> Predictor:
    """Another predictor over the same model with every linear layer in int8; the given one stays as it is."""
    model = predictor.model
    net = copy.deepcopy(model.net)
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, _Int8(child))
    return Predictor(finished(net, model.tokenizer, model.task, model.method))


@dataclass(frozen=True, slots=True)
class Agreement:
    """What int8 changes on labelled rows: on how many of `n` both models answer alike, and how many each gets right."""

    n: int
    alike: int
    right: int
    right_int8: int

    def to_json(self) -> dict[str, Any]:
        """As data, with shares; `accuracy` is that of the model as released."""
        shares = {"agreement": self.alike, "accuracy": self.right, "accuracy_int8": self.right_int8}
        return {**asdict(self), **{name: round(count / self.n, 6) for name, count in shares.items()}}


def compare(full: Predictor, small: Predictor, file: Path, *, column: str = "text", label: str = "label") -> Agreement:
    """Ask both models about the rows of a labelled file (CSV or JSON Lines, also gzip).

    Raises:
        CallerError: `serve.no-labels` for a task or file without labels; as `rows_of` for the file.
    """
    n = alike = right = right_int8 = 0
    for texts, labels in _labelled(file, column, label):
        questions = [Question(text) for text in texts]
        for true, one, other in zip(labels, full.answer(questions), small.answer(questions), strict=True):
            if "label" not in one.answer:
                raise CallerError("serve.no-labels", path=str(file), column=label)
            n += 1
            alike += one.answer["label"] == other.answer["label"]
            right += one.answer["label"] == true
            right_int8 += other.answer["label"] == true
    if not n:
        raise CallerError("serve.no-labels", path=str(file), column=label)
    return Agreement(n, alike, right, right_int8)


def _labelled(file: Path, column: str, label: str) -> Iterator[tuple[list[str], list[str]]]:
    texts: list[str] = []
    labels: list[str] = []
    for row in rows_of(file, column):
        if label not in row:
            raise CallerError("serve.no-labels", path=str(file), column=label)
        if str(row[column]).strip():
            texts.append(str(row[column]))
            labels.append(str(row[label]))
        if len(texts) == BATCH:
            yield texts, labels
            texts, labels = [], []
    if texts:
        yield texts, labels

"""The shape of a task, and the way from the accord's declaration to the functions that implement it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from foedus.core.registry import Implementations
from foedus.data.examples import Example
from foedus.records import terms
from foedus.records.metrics import count_names, metrics_of

__all__ = ["Batch", "Counts", "Encoded", "Task", "implements", "pad", "task_of"]

Batch = dict[str, torch.Tensor]
"""`input_ids`, `attention_mask` (batch, tokens) go into the model; `labels` (and `words`) are the task's own."""
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example as token ids.

    Classification has one label. Entities have a label a token (−100: not scored) and, in `words`, the number of the
    word that begins at each token (−1: none does).
    """

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    words: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A task, as functions. Everything is per example, so that one can weigh, clip or resample examples later.

    Attributes:
        model_class: the Auto class of `transformers` that holds such a model. labels: names of the head's outputs, in
        order. example: a text without label, to predict from. encode: (tokenizer, examples) → encoded examples, cut
        to the accord's `max_tokens`. Examples without label get −100. collate: (encoded, pad id) → batch, padded on
        the right. loss: (logits, batch) → (batch,) each example's mean cross-entropy over its own labels; 0 where it
        has none. counts: (logits, batch, examples) → (batch, len(count_names)) sufficient counts of each example.
        groups: examples → the document of each, to be resampled as one; None where examples are resampled one by one.
        predict: (logits of one example (tokens, …), encoded, example) → a JSON-able answer.
    """

    settings: terms.Task
    model_class: Literal["AutoModelForSequenceClassification", "AutoModelForTokenClassification"]
    labels: tuple[str, ...]
    example: Callable[[str], Example]
    encode: Callable[[Any, Sequence[Example]], list[Encoded]]
    collate: Callable[[Sequence[Encoded], int], Batch]
    loss: Callable[[torch.Tensor, Batch], torch.Tensor]
    counts: Callable[[torch.Tensor, Batch, Sequence[Example]], Counts]
    groups: Callable[[Sequence[Example]], list[str] | None]
    predict: Callable[[torch.Tensor, Encoded, Example], dict[str, Any]]

    @property
    def head(self) -> dict[str, Any]:
        """What `from_pretrained` or a config needs to make the head."""
        return {
            "num_labels": len(self.labels),
            "id2label": dict(enumerate(self.labels)),
            "label2id": {label: i for i, label in enumerate(self.labels)},
        }

    @property
    def count_names(self) -> tuple[str, ...]:
        """What the columns of `counts` mean."""
        return count_names(self.settings)

    def metrics(self, counts: Counts) -> dict[str, float]:
        """Every metric of the task from one row of summed counts."""
        return {name: float(value) for name, value in metrics_of(self.settings, map(int, counts)).items()}


implements: Implementations[Callable[[Any], Task]] = Implementations("task")


def task_of(settings: terms.Task) -> Task:
    """The task that these settings declare."""
    return implements.of(settings)(settings)


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Rows of different length as one tensor (rows, longest), filled up on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (longest - len(row))] for row in rows], dtype=torch.int64)

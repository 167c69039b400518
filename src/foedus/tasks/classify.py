"""Text classification: one label a text.

Counts are, for each label, how often it was right, predicted and true (`right/X`, `predicted/X`, `true/X`): they add
up over examples, members and replicates. What becomes of them is defined in `records.metrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from foedus.data.examples import Example, of_text
from foedus.records import terms
from foedus.tasks.base import Batch, Counts, Encoded, Task, implements, pad

__all__ = ["classification"]


@implements(terms.TextClassification)
def classification(settings: terms.TextClassification) -> Task:
    """The task over the accord's labels, in the accord's order."""
    labels = settings.labels
    return Task(
        settings=settings,
        model_class="AutoModelForSequenceClassification",
        labels=labels,
        example=of_text,
        encode=partial(_encode, {label: i for i, label in enumerate(labels)}, settings.max_tokens),
        collate=_collate,
        loss=_loss,
        counts=partial(_counts, len(labels)),
        groups=lambda _: None,
        predict=partial(_predict, labels),
    )


def _encode(ids: dict[str, int], max_tokens: int, tokenizer: Any, examples: Sequence[Example]) -> list[Encoded]:
    if not examples:
        return []
    texts = [example.text for example in examples]
    rows = tokenizer(texts, truncation=True, max_length=max_tokens, return_attention_mask=False)["input_ids"]
    return [
        Encoded(tuple(row), (-100 if example.label is None else ids[example.label],))
        for row, example in zip(rows, examples, strict=True)
    ]


def _collate(encoded: Sequence[Encoded], pad_id: int) -> Batch:
    return {
        "input_ids": pad([item.input_ids for item in encoded], pad_id),
        "attention_mask": pad([[1] * len(item.input_ids) for item in encoded], 0),
        "labels": torch.tensor([item.labels[0] for item in encoded], dtype=torch.int64),
    }


def _loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return functional.cross_entropy(logits, batch["labels"], ignore_index=-100, reduction="none")


def _counts(classes: int, logits: torch.Tensor, batch: Batch, examples: Sequence[Example]) -> Counts:
    predicted = logits.argmax(dim=-1).cpu().numpy()  # (batch,)
    true = batch["labels"].cpu().numpy()
    rows = np.arange(len(examples))
    out = np.zeros((len(examples), 3, classes), dtype=np.int64)
    out[rows, 0, true] = predicted == true
    out[rows, 1, predicted] = 1
    out[rows, 2, true] = 1
    return out.reshape(len(examples), 3 * classes)


def _predict(labels: tuple[str, ...], logits: torch.Tensor, *_: object) -> dict[str, Any]:
    """`label`, its `probability`, and the probability of every label."""
    probabilities = torch.softmax(logits.double(), dim=-1).tolist()
    best = max(range(len(labels)), key=lambda i: probabilities[i])
    return {
        "label": labels[best],
        "probability": probabilities[best],
        "probabilities": dict(zip(labels, probabilities, strict=True)),
    }

"""Models on the tiny base model and examples for them, for tests of training."""

import torch

from federation import LABELS, taught_base, texts
from foedus.core.rng import PublicRng
from foedus.data.examples import Example, Span
from foedus.records import terms
from foedus.train.model import build, load, start_state

TASK = terms.TextClassification(labels=LABELS, max_tokens=32)
ENTITIES = terms.TokenClassification(labels=("PRODUCT",), max_tokens=32)


def made(method, *, task=TASK, dropout=None):
    model = build(taught_base(), task, method, dropout=dropout)
    state = start_state(model, base=taught_base(), rng=PublicRng("test", "start"))
    load(model, state)
    return model, state


def examples(count, model, *, task=TASK):
    if isinstance(task, terms.TokenClassification):
        rows = [one.text.split() for one in texts("bank-a", "test", count)]
        spans = (Span(1, 2, "PRODUCT"),)
        found = [Example(text=" ".join(row), label=None, tokens=tuple(row), spans=spans) for row in rows]
    else:
        found = texts("bank-a", "test", count)
    return model.task.encode(model.tokenizer, found)


def nudged(model, state, *, by=0.05):
    """The state, every value moved a little, the same way each time."""
    rng = torch.Generator().manual_seed(1)
    return {name: value + by * torch.randn(value.shape, generator=rng) for name, value in state.items()}

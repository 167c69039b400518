"""The tasks with a real tokenizer and model of transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from foedus.data.examples import Example, Span
from foedus.records import terms
from foedus.tasks import task_of
from tiny import tiny_base


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"), words=["card", "Ann"])


EXAMPLES = {
    "text-classification": [Example("my card 银行", label="card"), Example("a loan", label="loan")],
    "token-classification": [
        Example("Ann 银行", tokens=("Ann", "银行"), spans=(Span(0, 1, "PER"),)),
        Example("x", tokens=("x",)),
    ],
}


@pytest.mark.parametrize(
    "settings",
    [
        terms.TextClassification(labels=("card", "loan"), max_tokens=32),
        terms.TokenClassification(labels=("PER",), max_tokens=32),
    ],
)
def test_a_stock_model_takes_the_batch_and_its_logits_are_scored(base: Path, settings: terms.Task) -> None:
    task = task_of(settings)
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = getattr(transformers, task.model_class).from_pretrained(base, **task.head).eval()
    examples = EXAMPLES[settings.name]
    encoded = task.encode(tokenizer, examples)
    batch = task.collate(encoded, tokenizer.pad_token_id)
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    assert logits.shape[-1] == len(task.labels)
    loss = task.loss(logits, batch)
    assert loss.shape == (2,)
    assert bool((loss > 0).all())
    counts = task.counts(logits, batch, examples)
    assert counts.shape == (2, len(task.count_names))
    assert set(task.metrics(counts.sum(0))) == set(settings.metrics)
    assert task.predict(logits[0], encoded[0], examples[0])
    assert model.config.id2label == dict(enumerate(task.labels))

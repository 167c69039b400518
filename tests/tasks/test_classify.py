from __future__ import annotations

import numpy as np
import pytest
import torch

from foedus.data.examples import Example
from foedus.records import terms
from foedus.tasks import Task, task_of

LABELS = ("card", "loan", "cash")


class Letters:
    """A tokenizer for tests: a letter a token, 1 before and 2 after."""

    def __call__(self, texts, *, truncation, max_length, return_attention_mask):
        return {"input_ids": [[1, *map(ord, text[: max_length - 2]), 2] for text in texts]}


@pytest.fixture
def task() -> Task:
    return task_of(terms.TextClassification(labels=LABELS, max_tokens=6))


def test_the_head_names_the_accords_labels_in_order(task: Task) -> None:
    assert task.model_class == "AutoModelForSequenceClassification"
    assert task.head == {
        "num_labels": 3,
        "id2label": {0: "card", 1: "loan", 2: "cash"},
        "label2id": {"card": 0, "loan": 1, "cash": 2},
    }


def test_texts_are_cut_to_max_tokens_and_padded_on_the_right(task: Task) -> None:
    encoded = task.encode(Letters(), [Example("abcdefgh", label="cash"), Example("a", label="card")])
    batch = task.collate(encoded, 0)
    assert batch["input_ids"].tolist() == [[1, 97, 98, 99, 100, 2], [1, 97, 2, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 0, 0, 0]]
    assert batch["labels"].tolist() == [2, 0]


def test_loss_is_each_examples_own_cross_entropy(task: Task) -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    loss = task.loss(logits, {"labels": torch.tensor([0, 1])})
    by_hand = [-2.0 + np.log(np.exp(2.0) + 2), np.log(3)]
    assert loss.tolist() == pytest.approx(by_hand, rel=1e-6)


def test_counts_and_figures_by_hand(task: Task) -> None:
    examples = [Example("x", label=label) for label in ("card", "card", "loan", "loan")]
    logits = torch.eye(3)[[0, 1, 1, 1]]  # predicted: card, loan, loan, loan
    batch = {"labels": torch.tensor([0, 0, 1, 1])}
    counts = task.counts(logits, batch, examples)
    assert counts.shape == (4, len(task.count_names))
    summed = dict(zip(task.count_names, counts.sum(0).tolist(), strict=True))
    assert summed["right/card"] == 1
    assert summed["predicted/loan"] == 3
    assert summed["true/loan"] == 2
    assert summed["true/cash"] == 0
    figures = task.metrics(counts.sum(0))
    assert figures["accuracy"] == pytest.approx(3 / 4)
    assert figures["macro-f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert set(figures) == set(task.settings.metrics)


def test_macro_f1_equals_scikit_learn_on_random_predictions(task: Task) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn is only an oracle here")
    draw = np.random.default_rng(1)
    for n in (1, 2, 5, 40):
        true, predicted = draw.integers(0, 3, n), draw.integers(0, 3, n)
        counts = task.counts(
            torch.eye(3)[torch.from_numpy(predicted)], {"labels": torch.from_numpy(true)}, [Example("x")] * n
        )
        wanted = sklearn.f1_score(true, predicted, average="macro")
        assert task.metrics(counts.sum(0))["macro-f1"] == pytest.approx(wanted)


def test_no_counts_give_zero_and_not_an_error(task: Task) -> None:
    assert task.metrics(np.zeros(9, dtype=np.int64)) == {"accuracy": 0.0, "macro-f1": 0.0}


def test_a_prediction_names_the_label_and_its_probability(task: Task) -> None:
    example = task.example("  which card? ")
    assert example.text == "which card?"
    answer = task.predict(torch.tensor([0.0, 5.0, 0.0]), task.encode(Letters(), [example])[0], example)
    assert answer["label"] == "loan"
    assert answer["probability"] == answer["probabilities"]["loan"] == pytest.approx(0.98670, abs=1e-4)

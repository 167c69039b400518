from __future__ import annotations

import numpy as np
import pytest
import torch

from foedus.data.examples import Example, Span
from foedus.records import terms
from foedus.tasks import Task, task_of
from foedus.tasks.score import tags_of


class Pairs:
    """For tests: two letters a piece, a bare "▁" before ideographs, nothing for a space; 1 before, 2 after."""

    def get_vocab(self):
        return {"▁": 9}

    def convert_tokens_to_ids(self, token):
        return {"▁": 9}[token]

    def __call__(self, text, *, add_special_tokens=True):
        pieces = [text[i : i + 2] for i in range(0, len(text), 2)] if text.strip() else []
        mark = [9] if text and ord(text[0]) > 0x3000 else []
        ids = mark + [100 + sum(map(ord, piece)) for piece in pieces]
        return {"input_ids": [1, *ids, 2] if add_special_tokens else ids}


@pytest.fixture
def words() -> Task:
    return task_of(terms.TokenClassification(labels=("PER", "LOC"), max_tokens=8))


@pytest.fixture
def characters() -> Task:
    return task_of(terms.TokenClassification(labels=("PER", "LOC"), level="character", max_tokens=16))


ANN = Example("Anna saw Rome", tokens=("Anna", "saw", "Rome"), spans=(Span(0, 1, "PER"), Span(2, 3, "LOC")))


def logits_for(task: Task, tags: list[str], batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of one example that say these tags, word by word, where the words begin."""
    out = torch.zeros(1, batch["words"].shape[1], len(task.labels))
    for position, word in enumerate(batch["words"][0].tolist()):
        if word >= 0:
            out[0, position, task.labels.index(tags[word])] = 5.0
    return out


def test_the_first_piece_of_a_word_carries_its_tag(words: Task) -> None:
    assert words.labels == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    encoded = words.encode(Pairs(), [ANN])[0]
    assert encoded.words == (-1, 0, -1, 1, -1, 2, -1, -1)
    assert encoded.labels == (-100, 1, -100, 0, -100, 3, -100, -100)


def test_a_bare_space_mark_never_hides_an_ideograph(characters: Task) -> None:
    example = Example("张三", tokens=("张", "三"), spans=(Span(0, 2, "PER"),))
    encoded = characters.encode(Pairs(), [example])[0]
    assert encoded.input_ids == (1, 100 + ord("张"), 100 + ord("三"), 2)
    assert encoded.labels == (-100, 1, 2, -100)


def test_words_keep_the_pieces_of_the_stock_tokenizer(words: Task) -> None:
    encoded = words.encode(Pairs(), [Example("张三", tokens=("张三",), spans=(Span(0, 1, "PER"),))])[0]
    assert encoded.input_ids == (1, 9, 100 + ord("张") + ord("三"), 2)
    assert encoded.labels == (-100, 1, -100, -100)


def test_padding_is_not_scored(words: Task) -> None:
    short = Example("to Rome", tokens=("to", "Rome"), spans=(Span(1, 2, "LOC"),))
    both, alone = (words.collate(words.encode(Pairs(), rows), 0) for rows in ([ANN, short], [short]))
    assert both["attention_mask"].sum(-1).tolist() == [8, 5]
    torch.manual_seed(0)
    logits = torch.randn(2, 8, 5)
    assert words.loss(logits, both)[1] == words.loss(logits[1:, :5], alone)[0]


def test_loss_is_the_mean_over_the_examples_own_words(words: Task) -> None:
    batch = words.collate(words.encode(Pairs(), [ANN]), 0)
    logits = torch.zeros(1, 8, 5)
    logits[0, 1, 1] = 3.0  # Anna: B-PER
    by_hand = (2 * np.log(5) - 3.0 + np.log(np.exp(3.0) + 4)) / 3
    assert words.loss(logits, batch).tolist() == pytest.approx([by_hand], rel=1e-6)
    assert words.loss(logits, {"labels": torch.full((1, 8), -100)}).tolist() == [0.0]


def test_counts_and_figures_by_hand(words: Task) -> None:
    batch = words.collate(words.encode(Pairs(), [ANN]), 0)
    counts = words.counts(logits_for(words, ["B-PER", "B-LOC", "I-LOC"], batch), batch, [ANN])
    assert dict(zip(words.count_names, counts[0].tolist(), strict=True)) == {
        "right": 1,
        "predicted": 2,
        "true": 2,
        "words-right": 1,
        "words": 3,
    }
    assert words.metrics(counts[0]) == {"entity-f1": pytest.approx(1 / 2), "token-accuracy": pytest.approx(1 / 3)}
    perfect = words.counts(logits_for(words, tags_of(ANN), batch), batch, [ANN])
    assert words.metrics(perfect[0]) == {"entity-f1": 1.0, "token-accuracy": 1.0}
    assert words.metrics(np.zeros(5, dtype=np.int64)) == {"entity-f1": 0.0, "token-accuracy": 0.0}


def test_words_beyond_max_tokens_count_as_missed() -> None:
    task = task_of(terms.TokenClassification(labels=("PER", "LOC"), max_tokens=4))
    batch = task.collate(task.encode(Pairs(), [ANN]), 0)
    assert batch["input_ids"].shape == (1, 4)
    counts = task.counts(logits_for(task, tags_of(ANN), batch), batch, [ANN])
    assert counts[0].tolist() == [1, 1, 2, 1, 3]


def test_a_space_inside_an_entity_does_not_break_it(characters: Task) -> None:
    text = "Al Bo x"
    example = Example(text, tokens=tuple(text), spans=(Span(0, 5, "PER"),))
    encoded = characters.encode(Pairs(), [example])[0]
    batch = characters.collate([encoded], 0)
    assert [word for word in encoded.words if word >= 0] == [0, 1, 3, 4, 6]
    logits = logits_for(characters, tags_of(example), batch)
    assert characters.counts(logits, batch, [example])[0].tolist() == [1, 1, 1, 7, 7]
    apart = logits_for(characters, ["B-PER", "I-PER", "O", "B-PER", "I-PER", "O", "O"], batch)
    assert characters.counts(apart, batch, [example])[0].tolist()[:2] == [0, 2]


def test_a_prediction_says_where_the_entity_stands(words: Task) -> None:
    example = words.example("  Anna saw Rome. ")
    assert example.tokens == ("Anna", "saw", "Rome", ".")
    encoded = words.encode(Pairs(), [example])[0]
    batch = words.collate([encoded], 0)
    answer = words.predict(logits_for(words, ["B-PER", "O", "B-LOC", "O"], batch)[0], encoded, example)
    assert answer["entities"] == [
        {"text": "Anna", "start": 0, "end": 4, "type": "PER"},
        {"text": "Rome", "start": 9, "end": 13, "type": "LOC"},
    ]
    assert (answer["words"], answer["words_read"]) == (4, 3)  # max_tokens 8 leaves no room for the full stop


def test_documents_are_groups_only_where_all_are_known(words: Task) -> None:
    one, two = ANN._replace(document="1"), ANN._replace(document="2")
    assert words.groups([one, two, one]) == ["1", "2", "1"]
    assert words.groups([one, ANN]) is None

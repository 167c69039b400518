from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities

from foedus.core.rng import PublicRng
from foedus.data.examples import Example, Span
from foedus.tasks.score import bootstrap, spans_of, tags_of

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")


def test_ill_formed_tags_are_read_by_the_conll_rule() -> None:
    assert spans_of(["I-PER", "I-PER", "B-PER", "I-LOC", "O", "I-LOC"]) == [
        Span(0, 2, "PER"),
        Span(2, 3, "PER"),
        Span(3, 4, "LOC"),
        Span(5, 6, "LOC"),
    ]
    assert spans_of([]) == []


def test_entities_and_f1_equal_seqeval_on_a_thousand_random_cases() -> None:
    draw = np.random.default_rng(7)
    for _ in range(1000):
        lengths = draw.integers(1, 12, size=4)
        true = [[TAGS[i] for i in draw.integers(0, len(TAGS), n)] for n in lengths]
        guess = [[TAGS[i] for i in draw.integers(0, len(TAGS), n)] for n in lengths]
        right = predicted = wanted = 0
        for a, b in zip(true, guess, strict=True):
            assert [(s.type, s.start, s.end - 1) for s in spans_of(a)] == get_entities(a)
            gold, found = set(spans_of(a)), set(spans_of(b))
            right, predicted, wanted = right + len(gold & found), predicted + len(found), wanted + len(gold)
        f1 = 2 * right / max(predicted + wanted, 1)
        assert f1 == pytest.approx(f1_score(true, guess, zero_division=0))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_tags_written_from_entities_read_back_as_the_same_entities(tags: list[str]) -> None:
    spans = spans_of(tags)
    example = Example("", tokens=tuple("x" * len(tags)), spans=tuple(spans))
    assert spans_of(tags_of(example)) == spans


def test_every_arm_of_a_replicate_draws_the_same_examples() -> None:
    counts = np.arange(10, dtype=np.int64)[:, None]
    drawn = bootstrap({"federated": counts, "alone": 2 * counts}, PublicRng("seed", "bootstrap"), replicates=20)
    assert (drawn["alone"] == 2 * drawn["federated"]).all()
    assert drawn["federated"].shape == (20, 1)
    assert len(np.unique(drawn["federated"])) > 5
    again = bootstrap({"federated": counts}, PublicRng("seed", "bootstrap"), replicates=20)
    assert (again["federated"] == drawn["federated"]).all()
    other = bootstrap({"federated": counts}, PublicRng("another", "bootstrap"), replicates=20)
    assert (other["federated"] != drawn["federated"]).any()


def test_documents_are_drawn_whole() -> None:
    counts = np.array([[1, 0], [1, 0], [0, 10], [0, 10]], dtype=np.int64)
    drawn = bootstrap({"x": counts}, PublicRng("s"), replicates=50, groups=["a", "a", "b", "b"])["x"]
    assert {tuple(row) for row in drawn.tolist()} == {(4, 0), (2, 20), (0, 40)}


def test_replicates_keep_the_mean_and_its_spread() -> None:
    counts = np.random.default_rng(3).integers(0, 2, size=(400, 1))
    drawn = bootstrap({"x": counts}, PublicRng("s"), replicates=1000)["x"] / 400
    p = counts.mean()
    assert drawn.mean() == pytest.approx(p, abs=0.004)  # five standard errors of the mean of 1,000 replicates
    assert drawn.std() == pytest.approx(np.sqrt(p * (1 - p) / 400), rel=0.12)

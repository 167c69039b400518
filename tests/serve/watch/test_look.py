"""A look: all tests of a window together."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.records.watch import Monitoring
from foedus.serve.store import Answer
from foedus.serve.watch.look import draws_for, holm, look
from foedus.serve.watch.sample import DIMENSIONS, Sample, sample_of

TERMS = Monitoring(smallest_cell=20)


def sample(rng, size, *, length=12.0, labels=(0.5, 0.3, 0.2), confidence=8.0, shift=0.0):
    drawn = rng.choice(["a", "b", "c"], size=size, p=labels)
    return Sample(
        rng.poisson(length, size).astype(float),
        rng.beta(confidence, 2, size),
        Counter(drawn.tolist()),
        rng.normal(shift, 1, (size, DIMENSIONS)).astype(np.float32),
    )


def moved(figures):
    return {one.measure for one in figures if one.moved}


def test_each_kind_of_shift_is_found_by_its_own_measure():
    rng = np.random.default_rng(0)
    reference = sample(rng, 500)
    shifts = {
        "lengths": {"length": 18.0},
        "labels": {"labels": (0.1, 0.3, 0.6)},
        "confidence": {"confidence": 3.0},
        "inputs": {"shift": 0.3},
    }
    for measure, how in shifts.items():
        assert moved(look(reference, sample(rng, 200, **how), TERMS, rng=rng)) == {measure}
    assert not moved(look(reference, sample(rng, 200), TERMS, rng=rng))


def test_only_what_the_clause_names_is_measured_and_nothing_without_embeddings():
    rng = np.random.default_rng(1)
    reference, recent = sample(rng, 100), sample(rng, 50)
    only = look(reference, recent, Monitoring(measures=("labels",)), rng=rng)
    assert [one.measure for one in only] == ["labels"]
    blind = Sample(recent.lengths, recent.confidences, recent.labels, recent.inputs[:0])
    assert "inputs" not in {one.measure for one in look(reference, blind, TERMS, rng=rng)}


def test_a_certain_shift_that_is_too_small_is_not_told():
    reference = Sample(np.arange(4000.0) % 9, np.full(4000, 0.9), Counter(a=2000, b=2000), np.zeros((0, DIMENSIONS)))
    recent = Sample(np.arange(4000.0) % 9, np.full(4000, 0.9), Counter(a=1800, b=2200), np.zeros((0, DIMENSIONS)))
    (labels,) = (one for one in look(reference, recent, TERMS, rng=np.random.default_rng(2)) if one.measure == "labels")
    assert float(labels.p) <= 0.01
    assert float(labels.statistic) < 0.1
    assert not labels.moved


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None)
def test_holm_keeps_the_order_never_helps_and_is_bonferroni_for_the_smallest(ps):
    adjusted = holm(ps)
    smallest = min(range(len(ps)), key=ps.__getitem__)
    assert adjusted[smallest] == min(1.0, len(ps) * ps[smallest])
    assert all(before <= after <= 1 for before, after in zip(ps, adjusted, strict=True))
    ranked = sorted(range(len(ps)), key=ps.__getitem__)
    assert [adjusted[i] for i in ranked] == sorted(adjusted)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_the_smallest_p_value_can_pass_the_correction():
    for level in ("0.1", "0.01", "0.002"):
        terms = Monitoring(false_alarms=level)
        assert 5 / (draws_for(terms) + 1) <= float(level)


def test_the_share_of_looks_that_alarm_without_drift_is_no_more_than_agreed():
    rng = np.random.default_rng(3)
    terms = Monitoring(false_alarms="0.1", psi="0")
    found = [bool(moved(look(sample(rng, 100), sample(rng, 60), terms, rng=rng))) for _ in range(150)]
    # at most 0.1 agreed; five standard deviations above
    assert sum(found) <= 15 + 5 * 3.7


def test_what_is_kept_of_an_embedding_are_projections_that_keep_distances():
    rng = np.random.default_rng(4)
    vectors = rng.normal(size=(40, 384)).astype("<f4")
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    answers = [
        Answer(str(i), "2026-01-01T00:00:00Z", "intents-1.0", "", "use", 5, "a", 9000, None, row.tobytes())
        for i, row in enumerate(vectors)
    ]
    kept = sample_of(answers).inputs
    assert kept.shape == (40, DIMENSIONS)
    before = np.linalg.norm(vectors[:20] - vectors[20:], axis=1).mean()
    assert np.linalg.norm(kept[:20] - kept[20:], axis=1).mean() == pytest.approx(before, rel=0.25)
    again = sample_of(answers).inputs
    assert np.array_equal(kept, again)

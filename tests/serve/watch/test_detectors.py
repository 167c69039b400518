"""The detectors by themselves: by hand, beside slow references and other libraries, and their false alarms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from scipy import stats

from foedus.serve.watch.adwin import Adwin
from foedus.serve.watch.ks import kolmogorov, ks
from foedus.serve.watch.mmd import kernel, mmd, mmd_test
from foedus.serve.watch.page_hinkley import PageHinkley
from foedus.serve.watch.psi import bin_edges, binned, psi, psi_test

counts = st.lists(st.integers(0, 200), min_size=2, max_size=12).filter(lambda one: sum(one) > 1)
seeds = st.integers(0, 2**32 - 1)


# ── population stability ─────────────────────────────────────────────────────


def test_the_index_of_two_bins_by_hand():
    # (30 + ½) / (40 + 1) and (10 + ½) / (40 + 1), against the reverse
    p, q = 30.5 / 41, 10.5 / 41
    assert psi(np.array([30, 10]), np.array([10, 30])) == pytest.approx(2 * (p - q) * math.log(p / q))


@given(counts, seeds)
@settings(deadline=None, max_examples=50)
def test_the_index_is_symmetric_never_negative_and_zero_for_the_same_counts(reference, seed):
    one = np.array(reference)
    other = np.random.default_rng(seed).permutation(one)
    assert psi(one, one) == pytest.approx(0, abs=1e-12)
    assert psi(one, other) == pytest.approx(psi(other, one))
    assert psi(one, other) >= 0


def test_the_p_value_of_a_stable_stream_is_evenly_spread_and_that_of_a_shift_is_small():
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(20))
    stable = [
        psi_test(rng.multinomial(300, shares), rng.multinomial(150, shares), rng=rng, draws=200).p for _ in range(200)
    ]
    # binomial: 200 trials at 0.1, six standard deviations either way
    assert 0 < sum(p <= 0.1 for p in stable) < 46
    moved = np.roll(shares, 1)
    assert psi_test(rng.multinomial(300, shares), rng.multinomial(150, moved), rng=rng, draws=200).p == 1 / 201


def test_by_convention_alone_seventy_bins_would_always_alarm():
    rng = np.random.default_rng(2)
    shares = np.full(77, 1 / 77)
    found = [psi(rng.multinomial(500, shares), rng.multinomial(200, shares)) for _ in range(50)]
    assert min(found) > 0.25


@given(st.lists(st.integers(1, 60), min_size=12, max_size=200))
@settings(deadline=None, max_examples=50)
def test_bins_hold_every_value_once_and_follow_quantiles(values):
    edges = bin_edges(np.array(values, dtype=float))
    held = binned(np.array(values, dtype=float), edges)
    assert held.sum() == len(values)
    assert len(held) == len(edges) + 1 <= 10
    assert binned(np.array([min(values) - 1.0, max(values) + 1.0]), edges)[[0, -1]].tolist() in ([1, 1], [2, 2])


# ── Kolmogorov-Smirnov ───────────────────────────────────────────────────────


@given(seeds, st.integers(20, 300), st.integers(20, 300), st.floats(0, 1))
@settings(deadline=None, max_examples=50)
def test_the_gap_is_scipys_and_the_p_value_near_its_exact_one(seed, n, m, shift):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(size=n), rng.normal(shift, 1, size=m)
    found, oracle = ks(one, other), stats.ks_2samp(one, other, method="exact")
    assert found.statistic == pytest.approx(oracle.statistic)
    # the limiting distribution with Stephens' correction is exact enough where it decides: below 0.1 within 0.03
    if min(found.p, oracle.pvalue) < 0.1:
        assert found.p == pytest.approx(oracle.pvalue, abs=0.03)


def test_the_limiting_distribution_is_scipys():
    for x in (0.1, 0.3, 0.5, 1.0, 1.36, 2.0, 4.0):
        assert kolmogorov(x) == pytest.approx(stats.kstwobign.sf(x), abs=1e-9)


def test_repeated_values_make_the_test_find_less_not_more():
    rng = np.random.default_rng(3)
    found = [ks(rng.poisson(8, 200).astype(float), rng.poisson(8, 100).astype(float)).p for _ in range(300)]
    assert sum(p <= 0.05 for p in found) / 300 <= 0.05


# ── maximum mean discrepancy ─────────────────────────────────────────────────


def slow_mmd(reference, recent):
    """The estimate as eq. (3) of the paper has it, pair by pair."""
    k, n, m = kernel(np.vstack([reference, recent])), len(reference), len(recent)
    within = sum(k[i, j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    others = sum(k[n + i, n + j] for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within + others - 2 * sum(k[i, n + j] for i in range(n) for j in range(m)) / (n * m)


@given(seeds, st.integers(2, 8), st.integers(2, 8), st.integers(1, 4))
@settings(deadline=None, max_examples=40)
def test_the_estimate_is_the_slow_one(seed, n, m, d):
    rng = np.random.default_rng(seed)
    reference, recent = rng.normal(size=(n, d)), rng.normal(1, 1, size=(m, d))
    assert mmd(reference, recent) == pytest.approx(slow_mmd(reference, recent), abs=1e-10)


def test_the_kernel_of_points_that_are_the_same_is_one():
    assert np.allclose(kernel(np.zeros((3, 2))), 1.0)


def test_mmd_finds_a_shift_and_keeps_its_level_without_one():
    rng = np.random.default_rng(4)
    still = [mmd_test(rng.normal(size=(60, 8)), rng.normal(size=(30, 8)), rng=rng, draws=100).p for _ in range(200)]
    assert 0 < sum(p <= 0.1 for p in still) < 46
    assert mmd_test(rng.normal(size=(60, 8)), rng.normal(1, 1, size=(30, 8)), rng=rng, draws=100).p == 1 / 101


# ── streams ──────────────────────────────────────────────────────────────────


def errors(seed, before, after, change=1000, length=2000):
    rng = np.random.default_rng(seed)
    return [float(rng.random() < (before if i < change else after)) for i in range(length)]


@given(seeds, st.sampled_from([(0.1, 0.4), (0.3, 0.1), (0.05, 0.12), (0.2, 0.2)]))
@settings(deadline=None, max_examples=25)
def test_adwin_and_its_window_are_rivers_up_to_the_first_change(seed, shares):
    ours, theirs = Adwin(), drift.ADWIN()
    for value in errors(seed, *shares):
        change = ours.update(value)
        theirs.update(value)
        assert (change is not None) == theirs.drift_detected
        assert ours.count == theirs.width
        assert ours.mean == pytest.approx(theirs.estimation)
        if change:
            return


def test_the_mean_and_spread_of_adwins_window_are_those_of_the_values_in_it():
    stream = errors(5, 0.1, 0.5)
    ours = Adwin()
    for at, value in enumerate(stream, start=1):
        ours.update(value)
        if at % 97 == 0:
            held = np.array(stream[at - ours.count : at])
            assert ours.mean == pytest.approx(held.mean())
            assert ours._squares / ours.count == pytest.approx(held.var(), abs=1e-9)


def test_adwin_tells_of_a_fall_as_of_a_rise():
    detector = Adwin()
    falls = [change for value in errors(6, 0.5, 0.1) if (change := detector.update(value))]
    assert falls
    assert all(change.after < change.before for change in falls)


@given(seeds, st.sampled_from([(0.1, 0.4), (0.05, 0.12), (0.2, 0.2)]), st.sampled_from([5.0, 12.0, 50.0]))
@settings(deadline=None, max_examples=25)
def test_page_hinkley_is_rivers(seed, shares, threshold):
    ours = PageHinkley(delta=0.02, threshold=threshold)
    theirs = drift.PageHinkley(min_instances=30, delta=0.02, threshold=threshold, alpha=1.0, mode="up")
    for value in errors(seed, *shares):
        found = ours.update(value)
        theirs.update(value)
        assert found == theirs.drift_detected
        if found:
            return


def test_page_hinkley_says_nothing_before_it_has_seen_enough():
    eager = PageHinkley(delta=0.0, threshold=0.5, least=30)
    assert [eager.update(float(i >= 10)) for i in range(29)] == [False] * 29
    assert eager.update(1.0)

from __future__ import annotations

import gc
import math
import weakref
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.combine import Update, combine, step, weighted_sum, weights
from foedus.combine.outer import outer_init
from foedus.core.errors import CallerError, FoedusError, RunError
from foedus.records import terms
from foedus.state import State, digest

MEAN = terms.Mean()


def update(member: str, weight: int | Fraction, **tensors: torch.Tensor) -> Update:
    return Update(member, Fraction(weight), lambda: dict(tensors))


def draw(seed: int) -> torch.Tensor:
    return torch.randn(3, 13, generator=torch.Generator().manual_seed(seed))


def code_of(updates: list[Update]) -> tuple[type[FoedusError], str]:
    with pytest.raises(FoedusError) as caught:
        combine(MEAN, updates)
    assert "expected" in str(caught.value)
    return type(caught.value), caught.value.code


def test_three_members_by_hand():
    updates = [
        update("a", Fraction(1, 2), w=torch.tensor([2.0, 0.0])),
        update("b", Fraction(1, 4), w=torch.tensor([4.0, 4.0])),
        update("c", Fraction(1, 4), w=torch.tensor([0.0, -8.0])),
    ]
    assert combine(MEAN, updates)["w"].tolist() == [2.0, -1.0]


def test_weights_of_three_members_by_hand():
    examples = {"c": 60, "a": 10, "b": 30}
    assert weights(terms.Mean(cap_bp=10_000), examples) == {
        "a": Fraction(1, 10),
        "b": Fraction(3, 10),
        "c": Fraction(3, 5),
    }
    assert weights(MEAN, examples) == {"a": Fraction(1, 8), "b": Fraction(3, 8), "c": Fraction(1, 2)}
    assert set(weights(terms.Mean(weights="equal"), examples).values()) == {Fraction(1, 3)}
    for counts, code in [
        ({}, "combine.no-updates"),
        ({"a": 0}, "combine.no-examples"),
        ({"a": -1, "b": 2}, "combine.no-examples"),
    ]:
        with pytest.raises(CallerError) as caught:
            weights(MEAN, counts)
        assert caught.value.code == code


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 10_000), min_size=1), st.integers(1500, 10_000))
def test_weights_sum_to_one_and_no_cap_is_passed_where_it_can_hold(examples, cap_bp):
    if not any(examples.values()):
        return
    shares = weights(terms.Mean(cap_bp=cap_bp), examples)
    assert sum(shares.values()) == 1
    having = sum(1 for count in examples.values() if count)
    if having * cap_bp >= 10_000:
        assert max(shares.values()) <= Fraction(cap_bp, 10_000)
    ranked = sorted(examples, key=lambda member: examples[member])
    assert all(shares[low] <= shares[high] for low, high in pairwise(ranked))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(5)), st.lists(st.integers(1, 50), min_size=5, max_size=5), st.integers(1, 97))
def test_neither_the_order_nor_the_scale_of_the_weights_changes_a_bit(order, counts, factor):
    updates = [update(f"m{i}", Fraction(counts[i], sum(counts)), w=draw(i)) for i in range(5)]
    scaled = [update(f"m{i}", Fraction(counts[i] * factor, 7), w=draw(i)) for i in range(5)]
    expected = digest(combine(MEAN, updates))
    assert digest(combine(MEAN, [updates[i] for i in order])) == expected
    assert digest(combine(MEAN, scaled)) == expected


def test_a_member_under_two_names_is_a_member_of_double_weight():
    twice = [update("a", 1, w=draw(1)), update("a-again", 1, w=draw(1)), update("b", 2, w=draw(2))]
    double = [update("a", 2, w=draw(1)), update("b", 2, w=draw(2))]
    torch.testing.assert_close(combine(MEAN, twice)["w"], combine(MEAN, double)["w"], rtol=0, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(-64, 64)), min_size=1, max_size=6))
def test_the_sum_is_that_of_exact_arithmetic_rounded_once(parts):
    updates = [update(f"m{i}", Fraction(weight, 64), w=draw(seed)) for i, (seed, weight) in enumerate(parts)]
    got = weighted_sum(updates)["w"].reshape(-1)
    for j in range(0, 39, 7):
        exact = sum(Fraction(weight, 64) * Fraction(float(draw(seed).reshape(-1)[j])) for seed, weight in parts)
        assert float(got[j]) == pytest.approx(float(exact), rel=2**-24, abs=1e-14)


def test_rounding_happens_once_not_at_every_member():
    updates = [
        update("a", 1, w=torch.tensor([1.0])),
        *(update(f"b{i}", 1, w=torch.tensor([2.0**-25])) for i in range(8)),
    ]
    assert weighted_sum(updates)["w"].item() == 1 + 2**-22
    slow = torch.tensor([1.0])
    for _ in range(8):
        slow = slow + torch.tensor([2.0**-25])
    assert slow.item() == 1.0, "the control: float32 loses the small members"


def test_every_wrong_update_has_its_name():
    good = update("a", 1, w=torch.ones(2))
    assert code_of([]) == (CallerError, "combine.no-updates")
    assert code_of([good, good]) == (CallerError, "combine.duplicate-member")
    for bad in (math.nan, math.inf):
        assert code_of([good, update("b", 1, w=torch.tensor([0.0, bad]))]) == (RunError, "combine.not-finite")
        assert code_of([update("a", 1, w=torch.tensor([bad]))]) == (RunError, "combine.not-finite")
    assert code_of([good, update("b", 1, v=torch.ones(2))]) == (RunError, "combine.names-differ")
    assert code_of([good, update("b", 1, w=torch.ones(1))]) == (RunError, "combine.shape-differs")
    assert code_of([good, update("b", 1, w=torch.ones(2).double())]) == (RunError, "combine.dtype-differs")
    assert code_of([update("a", 1, w=torch.tensor([1]))]) == (RunError, "combine.not-floating")
    assert code_of([good, update("b", -1, w=torch.ones(2))]) == (CallerError, "combine.bad-weight")
    assert code_of([update("a", 0, w=torch.ones(2))]) == (CallerError, "combine.bad-weight")


def test_an_error_names_the_member_in_both_languages():
    from foedus.core.messages import error_text

    with pytest.raises(RunError) as caught:
        combine(MEAN, [update("a", 1, w=torch.ones(1)), update("bank-3", 1, w=torch.tensor([math.nan]))])
    assert all("bank-3" in str(error_text(caught.value, lang=lang)) for lang in ("en", "zh"))


class Watched:
    """Counts how many opened updates are alive; each is larger than one block."""

    def __init__(self) -> None:
        self.alive: list[weakref.ref[torch.Tensor]] = []
        self.most = 0

    def open(self) -> State:
        tensor = torch.ones(300_000)
        self.alive.append(weakref.ref(tensor))
        self.most = max(self.most, sum(1 for reference in self.alive if reference() is not None))
        return {"w": tensor}


@pytest.mark.parametrize(("limit_bytes", "most"), [(1, 1), (5 * 1_200_000, 5)])
def test_no_more_updates_are_open_than_fit_the_limit_however_many_members(monkeypatch, limit_bytes, most):
    monkeypatch.setattr("foedus.combine.update._OPEN_BYTES", limit_bytes)
    watched = Watched()
    gc.collect()
    total = combine(MEAN, [Update(f"m{i:02}", Fraction(1, 20), watched.open) for i in range(20)])
    assert len(watched.alive) == 20
    assert watched.most == most
    torch.testing.assert_close(total["w"], torch.ones(300_000))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_updates_stay_as_they_were_and_the_dtype_is_kept(dtype):
    tensor = draw(1).to(dtype)
    before = tensor.clone()
    result = combine(MEAN, [update("a", 1, w=tensor), update("b", 3, w=tensor)])
    assert torch.equal(tensor, before)
    assert result["w"].dtype == dtype
    assert torch.equal(result["w"], tensor)


def test_fedavg_of_one_full_batch_step_is_a_step_of_central_sgd():
    rate, sizes = 0.1, {"a": 4, "b": 7, "c": 9}
    x = {
        m: torch.randn(n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for m, n in sizes.items()
    }
    y = {m: x[m] @ torch.arange(5.0, dtype=torch.float64) + i for i, m in enumerate(sizes)}
    w = torch.zeros(5, dtype=torch.float64)

    def gradient(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return 2 * inputs.t() @ (inputs @ w - targets) / len(targets)

    shares = weights(terms.Mean(cap_bp=10_000), sizes)
    updates = [update(m, shares[m], w=-rate * gradient(x[m], y[m])) for m in sizes]
    moved, _ = step(MEAN, terms.Plain(), state={"w": w}, memory={}, updates=updates)
    central = w - rate * gradient(torch.cat(list(x.values())), torch.cat(list(y.values())))
    torch.testing.assert_close(moved["w"], central, rtol=0, atol=1e-12)
    assert w.abs().max() == 0, "the old state stays as it was"
    uncapped = weights(terms.Mean(weights="equal"), sizes)
    other, _ = step(
        MEAN, terms.Plain(), state={"w": w}, memory=outer_init(terms.Plain(), {"w": w}),
        updates=[update(m, uncapped[m], w=-rate * gradient(x[m], y[m])) for m in sizes],
    )  # fmt: skip
    assert (other["w"] - central).abs().max() > 1e-3, "the control: equal weights are another step"

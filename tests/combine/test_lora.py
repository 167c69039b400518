from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.combine import Update, adapter_of, combine, dense, half_names, outer_apply, weighted_sum, wire_bytes
from foedus.core.errors import CallerError
from foedus.records import terms
from foedus.state import State, add

A, B = "q.lora_A.weight", "q.lora_B.weight"
RANKS = (4, 8, 2)


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.2


def adapter(seed: int, rank: int, *, rows: int = 12, columns: int = 7) -> State:
    return {A: draw(seed, rank, columns), B: draw(seed + 500, rows, rank), "head.bias": draw(seed + 900, 3)}


def true_sum(members: list[State], shares: list[Fraction], *, alpha: int) -> torch.Tensor:
    """What must come out: Σ wᵢ·sᵢ·Bᵢ·Aᵢ by matrix multiplication in float64."""
    return sum(
        float(w) * alpha / m[A].shape[0] * (m[B].double() @ m[A].double()) for m, w in zip(members, shares, strict=True)
    )


def naive_mean(members: list[State], shares: list[Fraction], *, alpha: int) -> torch.Tensor:
    """What many systems do: the mean of A and of B, short ranks padded with zeros. It is wrong, and must fail."""
    rank = max(m[A].shape[0] for m in members)
    a, b = torch.zeros(rank, members[0][A].shape[1]), torch.zeros(members[0][B].shape[0], rank)
    for m, w in zip(members, shares, strict=True):
        a[: m[A].shape[0]] += float(w) * m[A]
        b[:, : m[A].shape[0]] += float(w) * m[B]
    return (alpha / rank * b @ a).double()


def updates(members: list[State], shares: list[Fraction], *, alpha: int) -> list[Update]:
    return [
        Update(f"m{i}", w, lambda m=m: dense(m, alpha=alpha))
        for i, (m, w) in enumerate(zip(members, shares, strict=True))
    ]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 400),
    st.permutations(RANKS),
    st.lists(st.integers(-20, 20), min_size=3, max_size=3),
    st.sampled_from([1, 4, 16]),
)
def test_the_stack_is_the_weighted_sum_of_the_products(seed, ranks, numerators, alpha):
    members = [adapter(seed + i, rank) for i, rank in enumerate(ranks)]
    shares = [Fraction(n, 20) for n in numerators]
    got = weighted_sum(updates(members, shares, alpha=alpha))["q.weight"]
    assert got.shape == (12, 7)
    assert (got.double() - true_sum(members, shares, alpha=alpha)).abs().max() < 1e-6


def test_the_naive_mean_fails_the_same_assertion():
    members, shares = [adapter(i, rank) for i, rank in enumerate(RANKS)], [Fraction(1, 3)] * 3
    truth = true_sum(members, shares, alpha=8)
    assert (combine(terms.Mean(), updates(members, shares, alpha=8))["q.weight"].double() - truth).abs().max() < 1e-6
    assert (naive_mean(members, shares, alpha=8) - truth).abs().max() > 0.05
    same_rank = [adapter(i, 4) for i in range(3)]
    truth = true_sum(same_rank, shares, alpha=8)
    assert (naive_mean(same_rank, shares, alpha=8) - truth).abs().max() > 0.05


def test_a_forgotten_scale_fails_too():
    members, shares = [adapter(i, rank) for i, rank in enumerate(RANKS)], [Fraction(1, 3)] * 3
    unscaled = sum(float(w) * m[B].double() @ m[A].double() for m, w in zip(members, shares, strict=True))
    assert (unscaled - true_sum(members, shares, alpha=16)).abs().max() > 0.05


def test_the_head_is_averaged_beside_the_stack():
    members, shares = (
        [adapter(i, rank) for i, rank in enumerate(RANKS)],
        [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)],
    )
    got = combine(terms.Mean(), updates(members, shares, alpha=8))
    assert got.keys() == {"q.weight", "head.bias"}
    expected = sum(float(w) * m["head.bias"] for m, w in zip(members, shares, strict=True))
    torch.testing.assert_close(got["head.bias"], expected, rtol=0, atol=1e-7)


def test_one_adapter_of_weight_one_is_itself():
    member = adapter(3, 4)
    x = draw(9, 5, 7)
    merged = combine(terms.Mean(), updates([member], [Fraction(1)], alpha=16))["q.weight"]
    torch.testing.assert_close(x @ merged.t(), 4 * (x @ member[A].t()) @ member[B].t(), rtol=0, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 400), st.sampled_from(["A", "B"]))
def test_alternate_is_exact_because_the_other_half_is_shared(seed, half):
    state = adapter(seed, 4)
    trained = half_names(state, half)
    deltas = [
        {name: draw(seed + 31 * i + j, *state[name].shape) for j, name in enumerate(trained)} for i in range(1, 4)
    ]
    shares = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]
    handles = [Update(f"m{i}", w, lambda d=d: d) for i, (w, d) in enumerate(zip(shares, deltas, strict=True))]
    moved, _ = outer_apply(terms.Plain(), state, combine(terms.Mean(), handles), {})
    members = [{**state, **add({name: state[name] for name in d}, d)} for d in deltas]
    truth = true_sum(members, shares, alpha=8)
    assert (dense(moved, alpha=8)["q.weight"].double() - truth).abs().max() < 2e-6
    resting = A if half == "B" else B
    assert torch.equal(moved[resting], state[resting])


def test_training_both_halves_and_averaging_them_is_not_exact():
    state = adapter(1, 4)
    deltas = [{name: draw(31 * i + j, *state[name].shape) for j, name in enumerate(sorted(state))} for i in range(1, 4)]
    shares = [Fraction(1, 3)] * 3
    members = [add(state, d) for d in deltas]
    assert (naive_mean(members, shares, alpha=8) - true_sum(members, shares, alpha=8)).abs().max() > 0.02


def test_halves_by_name():
    names = [B, "head.bias", A]
    assert half_names(names, "B") == ("head.bias", B)
    assert half_names(names, "A") == ("head.bias", A)
    assert half_names(names, "all") == ("head.bias", A, B)


@pytest.mark.parametrize("lone", [A, B])
def test_a_half_alone_is_refused(lone):
    with pytest.raises(CallerError) as caught:
        dense({lone: torch.zeros(2, 2)}, alpha=2)
    assert caught.value.code == "combine.half-missing"


def test_a_released_adapter_and_its_residual_make_up_the_delta():
    members, shares = [adapter(i, rank) for i, rank in enumerate(RANKS)], [Fraction(1, 3)] * 3
    delta = combine(terms.Mean(), updates(members, shares, alpha=8))
    values = torch.linalg.svdvals(delta["q.weight"].double())
    for rank in (1, 3, 7):
        released = adapter_of(delta, rank, targets=["q.weight"])
        assert sorted(released.state) == ["head.bias", A, B]
        kept = dense(released.state, alpha=rank)["q.weight"]
        left = float((values[rank:] ** 2).sum()) ** 0.5
        assert released.residual_norm == pytest.approx(left, abs=1e-6)
        assert float(torch.linalg.matrix_norm(delta["q.weight"] - kept)) == pytest.approx(left, abs=1e-5)
        assert released.delta_norm == pytest.approx(float((values**2).sum()) ** 0.5)
        assert torch.equal(released.state["head.bias"], delta["head.bias"])
    with pytest.raises(CallerError) as caught:
        adapter_of(delta, 2, targets=["k.weight"])
    assert caught.value.code == "combine.unknown-name"


def test_bytes_on_the_wire_are_those_of_the_tensors():
    state = adapter(0, 4)
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    a, b, head, matrix = 4 * 4 * 7, 4 * 12 * 4, 4 * 3, 4 * 12 * 7
    assert wire_bytes(shapes, way="alternate", half="B") == (a + b + head, b + head)
    assert wire_bytes(shapes, way="alternate", half="A") == (a + b + head, a + head)
    assert wire_bytes(shapes, way="stack") == (matrix + head, a + b + head)
    assert wire_bytes(shapes, way="stack").up == sum(tensor.nbytes for tensor in state.values())
    assert wire_bytes(shapes, way="stack").down == sum(tensor.nbytes for tensor in dense(state, alpha=4).values())

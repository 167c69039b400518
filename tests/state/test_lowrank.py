from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.errors import CallerError
from foedus.state import product, sum_of_products, truncate


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_product_by_hand():
    b, a = torch.tensor([[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]]), torch.tensor([[1.0, 1.0], [2.0, 5.0]])
    assert product(b, a, scale=0.5).tolist() == [[2.5, 5.5], [-1.0, -2.5], [1.5, 1.5]]
    assert sum_of_products([(b, a, 1.0), (b[:, :1], a[:1], -1.0)]).tolist() == [[4.0, 10.0], [-2.0, -5.0], [0.0, 0.0]]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(1, 8), st.floats(-2, 2, width=32)), min_size=1, max_size=4),
    st.integers(0, 1000),
)
def test_a_sum_of_products_is_that_of_matrix_multiplication_in_float64(rows, columns, members, seed):
    terms = [
        (draw(seed + 2 * i, rows, rank), draw(seed + 2 * i + 1, rank, columns), scale)
        for i, (rank, scale) in enumerate(members)
    ]
    slow = sum(scale * (b.double() @ a.double()) for b, a, scale in terms)
    assert (sum_of_products(terms).double() - slow).abs().max() <= 2**-23 * slow.abs().max() + 1e-12


def test_factors_that_do_not_fit_are_refused():
    for terms in [
        [],
        [(torch.zeros(3, 2), torch.zeros(3, 4), 1.0)],
        [(torch.zeros(3), torch.zeros(3), 1.0)],
        [(torch.zeros(3, 2), torch.zeros(2, 4), 1.0), (torch.zeros(3, 2), torch.zeros(2, 5), 1.0)],
    ]:
        with pytest.raises(CallerError) as caught:
            sum_of_products(terms)
        assert caught.value.code == "state.not-factors"


@pytest.mark.parametrize(("rows", "columns"), [(6, 11), (11, 6), (7, 7)])
def test_what_is_kept_and_what_is_left_follow_eckart_and_young(rows, columns):
    delta = draw(3, rows, columns)
    values = torch.linalg.svdvals(delta.double())
    for rank in range(1, 7):
        kept = truncate(delta, rank)
        assert kept.b.shape == (rows, rank)
        assert kept.a.shape == (rank, columns)
        left = math.sqrt(float((values[rank:] ** 2).sum()))
        assert kept.residual_norm == pytest.approx(left, abs=1e-5)
        rest = delta.double() - kept.b.double() @ kept.a.double()
        assert torch.linalg.matrix_norm(rest).item() == pytest.approx(kept.residual_norm, abs=1e-9)


def test_a_delta_of_low_rank_is_kept_whole_and_a_larger_rank_is_padded_with_zeros():
    delta = product(draw(1, 8, 2), draw(2, 2, 5))
    assert truncate(delta, 2).residual_norm < 1e-5
    wide = truncate(delta, 9)
    assert wide.b.shape == (8, 9)
    assert wide.b[:, 5:].abs().max() == 0
    assert wide.residual_norm < 1e-5


def test_signs_are_fixed_so_the_same_delta_gives_the_same_factors():
    delta = draw(5, 9, 6)
    first, again = truncate(delta, 3), truncate(delta.clone(), 3)
    assert torch.equal(first.b, again.b)
    largest = first.b.gather(0, first.b.abs().argmax(dim=0, keepdim=True))
    assert (largest > 0).all()
    assert torch.equal(truncate(-delta, 3).b, first.b), "the sign of delta goes to A"


def test_a_bad_rank_or_no_matrix_is_refused():
    with pytest.raises(CallerError, match="at least 1"):
        truncate(torch.zeros(3, 3), 0)
    with pytest.raises(CallerError):
        truncate(torch.zeros(3), 1)


def test_terms_are_added_in_the_order_of_the_rank_index():
    ones = torch.ones(3, 1)
    assert product(torch.tensor([[1e20, -1e20, 1.0]]), ones).item() == 1.0
    assert product(torch.tensor([[1.0, -1e20, 1e20]]), ones).item() == 0.0, "the other way the small term is lost"

from __future__ import annotations

import hashlib
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.core.errors import CallerError
from foedus.state import add, check_alike, check_finite, digest, dot, norm, scale, subtract, zeros_like

A = {"w": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "b": torch.tensor([5.0])}
B = {"w": torch.tensor([[1.0, 0.0], [0.0, -1.0]]), "b": torch.tensor([2.0])}


def test_sums_differences_products_and_norms_by_hand():
    assert add(A, B)["w"].tolist() == [[2.0, 2.0], [3.0, 3.0]]
    assert subtract(A, B)["b"].tolist() == [3.0]
    assert scale(A, -2)["w"].tolist() == [[-2.0, -4.0], [-6.0, -8.0]]
    assert dot(A, B) == 1 - 4 + 10
    assert norm({"x": torch.tensor([3.0]), "y": torch.tensor([[4.0]])}) == 5
    assert zeros_like(A, dtype=torch.float64)["w"].dtype == torch.float64
    assert A["w"].tolist() == [[1.0, 2.0], [3.0, 4.0]], "arguments stay as they were"


def test_the_digest_is_the_hash_of_sorted_names_types_shapes_and_bytes():
    import struct

    text = b'["b","F32",[1]]\n' + struct.pack("<f", 5) + b'["w","F32",[2,2]]\n' + struct.pack("<4f", 1, 2, 3, 4)
    assert digest(A) == digest(dict(reversed(A.items()))) == "sha256:" + hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        {"w": A["w"], "c": A["b"]},
        {"w": A["w"].reshape(4), "b": A["b"]},
        {"w": A["w"].double(), "b": A["b"]},
        {"w": A["w"].t(), "b": A["b"]},
        {"w": A["w"], "b": -A["b"]},
        {"w": A["w"]},
    ],
)
def test_any_change_changes_the_digest(other):
    assert digest(other) != digest(A)


def test_a_transposed_view_has_the_digest_of_its_values():
    assert digest({"w": A["w"].t()}) == digest({"w": A["w"].t().clone()})


def test_states_that_do_not_fit_are_named():
    for other, code in [
        ({"w": A["w"]}, "state.names-differ"),
        ({"w": A["w"].reshape(4), "b": A["b"]}, "state.shape-differs"),
        ({"w": A["w"].double(), "b": A["b"]}, "state.dtype-differs"),
    ]:
        for function in (add, subtract, check_alike):
            with pytest.raises(CallerError) as caught:
                function(A, other)
            assert caught.value.code == code
            assert "expected" in str(caught.value)
    assert dot(A, {"w": B["w"].double(), "b": B["b"]}) == 7, "an inner product may join two precisions"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_named(bad):
    check_finite(A)
    with pytest.raises(CallerError, match=r"tensor b") as caught:
        check_finite({"w": A["w"], "b": torch.tensor([bad])})
    assert caught.value.code == "state.not-finite"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 90),
    st.data(),
    st.sampled_from([math.nan, math.inf, -math.inf]),
    st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16]),
)
def test_one_bad_value_is_found_wherever_it_stands(size, data, bad, dtype):
    values = torch.linspace(-9, 9, size).to(dtype)
    check_finite({"x": values, "counts": torch.tensor([1]), "none": torch.zeros(0)})
    values[data.draw(st.integers(0, size - 1))] = bad
    with pytest.raises(CallerError):
        check_finite({"x": values})


def test_a_type_outside_the_list_is_refused():
    with pytest.raises(CallerError) as caught:
        digest({"x": torch.zeros(2, dtype=torch.complex64)})
    assert caught.value.code == "state.bad-dtype"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=0, max_size=70))
def test_the_inner_product_of_whole_numbers_is_exact(values):
    x = {"x": torch.tensor(values, dtype=torch.float32)}
    assert dot(x, x) == sum(value * value for value in values)

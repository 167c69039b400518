from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.records.weights import capped_shares, equal_shares

NAMES = st.text("abcdef", min_size=1, max_size=3)


def test_without_a_binding_cap_shares_are_proportional():
    assert capped_shares({"b": 100, "a": 300}, 10_000) == {"a": Fraction(3, 4), "b": Fraction(1, 4)}


def test_what_the_cap_takes_goes_to_the_others_in_proportion():
    assert capped_shares({"a": 800, "b": 100, "c": 100}, 5000) == {
        "a": Fraction(1, 2),
        "b": Fraction(1, 4),
        "c": Fraction(1, 4),
    }


def test_a_member_pushed_above_the_cap_by_the_others_is_capped_too():
    shares = capped_shares({"a": 1000, "b": 300, "c": 100}, 4000)
    assert shares == {"a": Fraction(2, 5), "b": Fraction(2, 5), "c": Fraction(1, 5)}


def test_where_the_cap_cannot_hold_all_share_alike():
    assert capped_shares({"a": 9, "b": 1}, 4000) == {"a": Fraction(1, 2), "b": Fraction(1, 2)}


def test_a_member_without_examples_weighs_nothing():
    assert capped_shares({"a": 10, "b": 0}, 5000) == {"a": Fraction(1), "b": Fraction(0)}


def test_no_examples_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one above 0"):
        capped_shares({"a": 0}, 5000)


def test_equal_shares_do_not_look_at_examples():
    assert equal_shares(("b", "a")) == {"a": Fraction(1, 2), "b": Fraction(1, 2)}


@settings(deadline=None, max_examples=80)
@given(
    st.dictionaries(NAMES, st.integers(1, 10**6), min_size=1),
    st.integers(0, 10_000),
)
def test_shares_sum_to_one_keep_the_order_and_the_cap_where_it_can_hold(examples, cap_bp):
    shares = capped_shares(examples, cap_bp)
    assert sum(shares.values()) == 1
    assert list(shares) == sorted(examples)
    if Fraction(cap_bp, 10_000) * len(examples) >= 1:
        assert max(shares.values()) <= Fraction(cap_bp, 10_000)
    assert all(shares[a] <= shares[b] for a in examples for b in examples if examples[a] <= examples[b])

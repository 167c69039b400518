from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foedus.records import terms
from foedus.records.weights import capped_shares, round_shares

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
    shares = round_shares(terms.Mean(weights="equal"), {"b": 1, "a": 900})
    assert shares == {"a": Fraction(1, 2), "b": Fraction(1, 2)}


LATE = terms.NextRound(max_rounds=2, discount="0.5")


@pytest.mark.parametrize(
    ("rule", "examples", "expected"),
    [
        # 40 : 40 : 40/2
        (terms.Mean(cap_bp=10_000), {"a": 40, "b": 40, "c": 40}, ("2/5", "2/5", "1/5")),
        (terms.Mean(weights="equal"), {"a": 1, "b": 50, "c": 900}, ("2/5", "2/5", "1/5")),
        # c would have 800/2 of 480: the cap holds after the discount.
        (terms.Mean(cap_bp=5000), {"a": 40, "b": 40, "c": 800}, ("1/4", "1/4", "1/2")),
        # The cap cannot hold: all alike, but for the discount.
        (terms.Mean(cap_bp=1000), {"a": 40, "b": 7, "c": 800}, ("2/5", "2/5", "1/5")),
    ],
)
def test_a_reply_one_round_late_counts_half_of_what_it_would(rule, examples, expected):
    shares = round_shares(rule, examples, late={"c": 1}, lateness=LATE)
    assert shares == dict(zip("abc", map(Fraction, expected), strict=True))


def test_each_round_late_discounts_again_and_all_late_alike_is_as_none():
    rule, counts = terms.Mean(weights="equal"), {"a": 1, "b": 1}
    assert round_shares(rule, counts, late={"b": 2}, lateness=LATE) == {"a": Fraction(4, 5), "b": Fraction(1, 5)}
    assert round_shares(rule, counts, late={"a": 2, "b": 2}, lateness=LATE) == round_shares(rule, counts)


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
